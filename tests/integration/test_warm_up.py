"""What a worker makes ready before its first job, and with it."""

import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from coop.jobs import Stage
from coop.settings import Settings, SettingsError, read_settings
from tests.support.fleet import eventually
from workers import pipeline, warm_up
from workers.engines import ytdlp
from workers.engines.transcriber import local

STAGES = {spec.name: spec for spec in pipeline.STAGES}


def _settings(tmp_path: Path, **environ: str) -> Settings:
    return read_settings({"COOP_DATA_DIR": str(tmp_path), **environ}, None)


def test_every_part_that_is_made_ready_belongs_to_a_stage_of_the_pipeline() -> None:
    assert set(warm_up._PARTS) <= {spec.run for spec in pipeline.STAGES}


ASKS_SERVERS = {
    "COOP_TRANSCRIBER": "openai",
    "COOP_ANALYZER": "openai",
    "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
}
LOADED = """if True:
    import sys, threading
    from coop.logs import configure_logs
    from coop.settings import read_settings
    from workers import pipeline, warm_up
    stages, settings = pipeline.STAGES[int(sys.argv[1]):], read_settings()
    configure_logs(settings)
    begin = warm_up.with_first_job(stages, settings)
    warm_up.warm_up(stages, settings)
    def told():
        return sorted({"faster_whisper", "openai", "textblob"} & set(sys.modules))
    print(told())
    begin(task="any", sender=None)
    for thread in threading.enumerate():
        if thread.name == "warm-up":
            thread.join()
    print(told())
"""


@pytest.mark.parametrize(
    ("first", "engines", "at_start", "with_first_job"),
    [
        (Stage.METADATA, ASKS_SERVERS, [], ["faster_whisper", "openai"]),
        (Stage.METADATA, {**ASKS_SERVERS, "COOP_ANALYZER": "offline"}, [], ["faster_whisper", "openai", "textblob"]),
        # Nothing goes before it that the loading could hide behind.
        (Stage.TRANSCRIBE, ASKS_SERVERS, ["faster_whisper", "openai"], ["faster_whisper", "openai"]),
        (Stage.METADATA, {"COOP_WHISPER_MODEL": "/none"}, ["faster_whisper"], ["faster_whisper", "textblob"]),
    ],
    ids=["servers", "servers and rules", "no earlier stage", "local model"],
)
def test_what_later_stages_need_is_loaded_when_the_first_job_is_on_its_way(
    first: Stage, engines: dict[str, str], at_start: list[str], with_first_job: list[str], tmp_path: Path
) -> None:
    environ = {**engines, "COOP_DATA_DIR": str(tmp_path), "COOP_SITES": "youtube", "PATH": os.environ["PATH"]}
    number = [spec.name for spec in pipeline.STAGES].index(first)

    told = subprocess.run(
        [sys.executable, "-c", LOADED, str(number)], env=environ, capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()

    assert told == [str(at_start), str(with_first_job)]


def test_jobs_that_begin_at_once_have_the_rest_made_ready_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Settings] = []
    monkeypatch.setattr(
        warm_up, "_PARTS", {STAGES[Stage.ANALYZE].run: made.append, STAGES[Stage.IDEAS].run: made.append}
    )
    begin = warm_up.with_first_job(pipeline.STAGES, _settings(tmp_path))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    eventually(lambda: len(made) >= 2)
    assert len(made) == 2


def test_the_model_is_loaded_before_the_first_transcription(tmp_path: Path) -> None:
    local._load.cache_clear()

    warm_up.warm_up([STAGES[Stage.TRANSCRIBE]], _settings(tmp_path))

    assert local._load.cache_info().currsize == 1


def test_a_worker_without_that_stage_loads_no_model(tmp_path: Path) -> None:
    local._load.cache_clear()

    warm_up.warm_up([STAGES[Stage.ANALYZE], STAGES[Stage.IDEAS]], _settings(tmp_path))

    assert local._load.cache_info().currsize == 0


def test_what_is_not_ready_is_told_and_stops_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    no_model = _settings(tmp_path, COOP_WHISPER_MODEL=str(tmp_path))

    warm_up.warm_up([STAGES[Stage.TRANSCRIBE]], no_model)

    assert "not ready" in "".join(capsys.readouterr())


def test_a_site_that_does_not_exist_is_raised_for_every_job_would_fail_of_it(tmp_path: Path) -> None:
    try:
        with pytest.raises(SettingsError, match="no-such-site"):
            warm_up.warm_up([STAGES[Stage.METADATA]], _settings(tmp_path, COOP_SITES="no-such-site"))
    finally:
        ytdlp.close()


def test_a_setting_of_a_later_stage_that_is_wrong_is_told_with_the_part_it_is_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def analysis(_: Settings) -> None:
        raise SettingsError("no such model")

    monkeypatch.setattr(warm_up, "_PARTS", {STAGES[Stage.ANALYZE].run: analysis})

    warm_up.with_first_job([STAGES[Stage.METADATA], STAGES[Stage.ANALYZE]], _settings(tmp_path))()

    said: list[str] = []
    eventually(lambda: said.extend(capsys.readouterr()) or "no such model" in "".join(said))
    assert "part=analysis" in re.sub(r"\x1b\[\d*m", "", "".join(said))


def test_a_price_file_is_read_before_a_call_costs_money(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="COOP_PRICES_FILE"):
        warm_up.warm_up([], _settings(tmp_path, COOP_PRICES_FILE=str(tmp_path / "none.json")))


def test_a_part_that_takes_for_ever_does_not_keep_the_worker_from_its_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, ended = threading.Event(), threading.Event()
    stuck = replace(STAGES[Stage.ANALYZE], run=lambda work: None)

    def wait_and_end(_: Settings) -> None:
        released.wait(10)
        ended.set()

    monkeypatch.setattr(warm_up, "_PARTS", {stuck.run: wait_and_end})

    warm_up.warm_up([stuck], _settings(tmp_path), wait_seconds=0.05)

    has_ended = ended.is_set()
    released.set()
    assert not has_ended  # it came back although the part went on


def test_stages_that_need_nothing_are_ready_at_once(tmp_path: Path) -> None:
    warm_up.warm_up([STAGES[Stage.DOWNLOAD]], _settings(tmp_path), wait_seconds=0)
