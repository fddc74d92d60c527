"""What a worker makes ready before its first job."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from coop.jobs import Stage
from coop.settings import Settings, SettingsError, read_settings
from workers import pipeline, warm_up
from workers.engines import ytdlp
from workers.engines.transcriber import local

STAGES = {spec.name: spec for spec in pipeline.STAGES}


def _settings(tmp_path: Path, **environ: str) -> Settings:
    return read_settings({"COOP_DATA_DIR": str(tmp_path), **environ}, None)


def test_every_part_that_is_made_ready_belongs_to_a_stage_of_the_pipeline() -> None:
    assert set(warm_up._PARTS) <= {spec.run for spec in pipeline.STAGES}


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
