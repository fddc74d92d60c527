"""`coop worker` keeps its process running until it is told to stop. Small programs stand in for Celery."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.fleet import eventually
from workers import supervisor as module
from workers.supervisor import Supervisor

DIES = "import sys; open(sys.argv[1], 'a').write('x'); sys.exit(7)"
STAYS = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
open(sys.argv[1], 'a').write('x')
time.sleep(60)
"""
IGNORES = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], 'a').write('x')
time.sleep(60)
"""


@contextmanager
def supervised(
    program: str, note: Path, shutdown_seconds: float = 5, log_form: str = "json"
) -> Iterator[tuple[Supervisor, list[int]]]:
    """The supervisor at work, and what it returns in the end."""
    supervisor = Supervisor([sys.executable, "-c", program, str(note)], shutdown_seconds, log_form)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(supervisor.run()))
    thread.start()
    try:
        yield supervisor, codes
    finally:
        supervisor.stop()
        thread.join(20)


def starts(note: Path) -> int:
    return len(note.read_text()) if note.exists() else 0


def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    note = tmp_path / "starts"
    with supervised(DIES, note):
        eventually(lambda: starts(note) >= 3, 30)


def test_a_process_that_is_told_to_stop_ends_and_is_not_started_again(tmp_path: Path) -> None:
    note = tmp_path / "starts"
    with supervised(STAYS, note) as (supervisor, codes):
        eventually(lambda: starts(note) == 1, 30)
        supervisor.stop()
        eventually(lambda: codes, 30)

    assert (codes, starts(note)) == ([0], 1)


@pytest.mark.skipif(sys.platform == "win32", reason="there a process cannot ignore it")
def test_a_process_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KILL_AFTER_SECONDS", 0.5)
    note = tmp_path / "starts"
    with supervised(IGNORES, note, shutdown_seconds=0) as (supervisor, codes):
        eventually(lambda: starts(note) == 1, 30)
        supervisor.stop()
        eventually(lambda: codes, 30)

    assert codes[0] != 0


@pytest.mark.parametrize("form", ["json", "console"])
def test_how_a_process_died_is_logged_in_the_form_of_the_other_logs(
    form: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    note = tmp_path / "starts"
    with supervised(DIES, note, log_form=form):
        eventually(lambda: starts(note) >= 2, 30)

    line = capfd.readouterr().err.splitlines()[0]
    if form == "json":
        told = json.loads(line)
        assert (told["event"], told["level"]) == ("the worker process ended and is started again", "error")
        assert (told["code"], told["pause_seconds"]) == (7, 0.5)
        assert told["timestamp"].endswith("Z")
    else:
        assert line.endswith("[error] the worker process ended and is started again code=7 pause_seconds=0.5")


def test_it_loads_the_standard_library_alone() -> None:
    code = (
        "import sys; before = set(sys.modules); import workers.supervisor;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert set(loaded) - sys.stdlib_module_names == {"coop", "workers"}
