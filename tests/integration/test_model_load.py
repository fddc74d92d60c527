"""A model that has to come over the line first, and a line that is slow."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from coop.errors import Cancelled, JobError
from coop.settings import Settings
from tests.support.sites import never, running_site
from workers.engines.deadline import Deadline
from workers.engines.transcriber import local

LOAD = """if True:
    import sys
    import faster_whisper  # its import takes longer than the deadline
    from coop.errors import JobError
    from coop.settings import Settings
    from workers.engines.deadline import Deadline
    from workers.engines.transcriber.local import load_model
    try:
        load_model(Settings(whisper_model="tiny"), Deadline(3))
    except JobError as error:
        sys.exit(error.code)
"""


def test_a_hub_that_never_answers_costs_no_more_than_the_deadline(tmp_path: Path) -> None:
    with running_site() as hub:
        hub.add("/api/models/Systran/faster-whisper-tiny/revision/main", never())
        environment = {"HF_ENDPOINT": hub.url(""), "HF_HOME": str(tmp_path), "HF_HUB_ETAG_TIMEOUT": "300"}
        done = subprocess.run(
            [sys.executable, "-c", LOAD], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
        )

        assert hub.requests, "the model was asked for"
    assert done.stderr.splitlines()[-1] == "timed_out"


class SlowLine:
    """Loads that end when they are `released`, for `local._load`."""

    def __init__(self) -> None:
        self.begun, self.released, self.loads = threading.Event(), threading.Event(), 0

    def __call__(self, *_: object) -> str:
        self.loads += 1
        self.begun.set()
        assert self.released.wait(30)
        return "model"


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> SlowLine:
    line = SlowLine()
    monkeypatch.setattr(local, "_load", line)
    return line


def test_a_load_goes_on_for_the_next_attempt(line: SlowLine) -> None:
    with pytest.raises(JobError, match="timed_out"):
        local.load_model(Settings(), Deadline(0.1))
    line.released.set()

    assert local.load_model(Settings(), Deadline(30)) == "model"


def test_two_that_wait_for_a_model_load_it_once(line: SlowLine) -> None:
    for _ in range(2):
        with pytest.raises(JobError, match="timed_out"):
            local.load_model(Settings(), Deadline(0.1))
    line.released.set()

    assert line.loads == 1


def test_a_cancelled_stage_waits_for_no_model(line: SlowLine) -> None:
    cancelled = threading.Event()
    stop = threading.Thread(target=lambda: line.begun.wait(30) and cancelled.set())
    stop.start()

    with pytest.raises(Cancelled):
        local.load_model(Settings(), Deadline(30, cancelled))
    line.released.set()
    stop.join()
