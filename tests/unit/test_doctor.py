"""What the doctor makes of what it finds."""

from datetime import date
from pathlib import Path

import pytest

from coop import doctor
from coop.doctor import judge_yt_dlp
from coop.settings import Settings, read_settings
from workers.engines.ffmpeg import find_ffmpeg

TODAY = date(2026, 11, 23)


def _settings(**environ: str) -> Settings:
    return read_settings(environ, None)


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("2026.10.26", "ok"),
        ("2026.09.24", "ok"),
        ("2026.09.23", "warn"),
        ("2026.11.20.232815.dev0", "ok"),
        ("master", "warn"),
        ("2026.13.1", "warn"),
    ],
)
def test_an_old_yt_dlp_is_a_warning(version: str, verdict: str) -> None:
    assert judge_yt_dlp(version, TODAY).verdict == verdict


@pytest.mark.parametrize(("ahead", "verdict"), [(0.2, "ok"), (-6, "warn"), (6, "warn"), (-301, "fail"), (301, "fail")])
def test_a_wrong_clock_is_noticed_in_both_directions(ahead: float, verdict: str) -> None:
    assert doctor._clock(ahead).verdict == verdict


@pytest.mark.parametrize(
    ("free", "verdict"), [(6 * 2**30, "ok"), (2 * 2**30, "warn"), (2**28, "fail")], ids=["room", "little", "none"]
)
def test_a_full_disk_is_noticed(free: int, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("usage", (), {"free": free})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage)

    finding = doctor._disk(_settings(COOP_DATA_DIR=str(tmp_path / "not" / "yet" / "there")))

    assert finding.verdict == verdict


@pytest.mark.parametrize(
    ("environ", "verdict", "found"),
    [
        ({"OPENAI_API_KEY": "k"}, "ok", "openai, whisper-1"),
        ({"COOP_TRANSCRIBER": "openai"}, "fail", "without a key"),
        (
            {"COOP_TRANSCRIBER": "openai", "OPENAI_BASE_URL": "http://speech.lan/v1"},
            "ok",
            "without a key at speech.lan",
        ),
        ({"OPENAI_BASE_URL": "http://speech.lan/v1"}, "ok", "local"),
        ({"COOP_TRANSCRIBER": "openai", "COOP_TRANSCRIBE_API_KEY": "k"}, "ok", "key present"),
        ({"OPENAI_API_KEY": "k", "COOP_TRANSCRIBER": "local", "COOP_WHISPER_MODEL": "small"}, "warn", "local, small"),
    ],
)
def test_the_transcriber_is_judged_by_key_or_model(environ: dict[str, str], verdict: str, found: str) -> None:
    finding = doctor._transcriber(_settings(**environ))

    assert finding.verdict == verdict
    assert found in finding.found


def test_a_model_in_a_folder_is_found(tmp_path: Path) -> None:
    assert doctor._transcriber(_settings(COOP_WHISPER_MODEL=str(tmp_path))).verdict == "ok"


@pytest.mark.parametrize(
    ("environ", "verdict"),
    [
        ({}, "ok"),
        ({"OPENAI_API_KEY": "k"}, "ok"),
        ({"COOP_ANALYZER": "openai"}, "fail"),
        ({"COOP_ANALYZER": "openai", "COOP_TEXT_BASE_URL": "http://text.lan/v1"}, "ok"),
    ],
)
def test_the_analyzer_is_judged_by_its_key(environ: dict[str, str], verdict: str) -> None:
    assert doctor._analyzer(_settings(**environ)).verdict == verdict


def test_a_key_is_never_told() -> None:
    assert "sk-1" not in repr(doctor._transcriber(_settings(OPENAI_API_KEY="sk-1")))


@pytest.mark.parametrize("program", ["/no/such/ffmpeg", __file__])
def test_an_ffmpeg_that_does_not_run_is_a_failure(program: str) -> None:
    finding = doctor._ffmpeg(_settings(COOP_FFMPEG=program))

    assert finding.verdict == "fail"
    assert "COOP_FFMPEG" in finding.advice


def test_the_ffmpeg_that_is_judged_is_the_one_that_runs() -> None:
    found = doctor._ffmpeg(_settings()).found

    assert found.endswith(f"({find_ffmpeg(None)})")


def test_no_network_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PROBE_HOST", ("127.0.0.1", 1))

    assert doctor._network(_settings()).verdict == "warn"
