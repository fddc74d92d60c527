"""The lists that must agree, and the rules of the layout that import-linter cannot say."""

from __future__ import annotations

import re
from pathlib import Path

from coop.errors import JOB_ERRORS, PROBLEMS
from coop.jobs import STAGES, Stage
from coop.settings import Settings

ROOT = Path(__file__).parents[2]
PACKAGES = ("coop", "workers", "api")


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]


def test_the_pipeline_runs_every_stage_in_order_but_the_delivery() -> None:
    from workers import pipeline

    assert [spec.name for spec in pipeline.STAGES] == list(STAGES[:-1])
    assert STAGES[-1] is Stage.DELIVER


def test_every_stage_has_a_registered_task_and_a_deadline() -> None:
    from coop.queue import app
    from workers import tasks

    assert len(tasks.TASKS) == len(STAGES)
    assert [stage.task for stage in STAGES if stage.task not in app.tasks] == []
    assert all(f"{stage}_deadline_seconds" in Settings.model_fields for stage in STAGES)


def test_the_error_codes_are_those_of_the_contract() -> None:
    contract = """unsupported_url video_unavailable video_private members_only age_restricted geo_blocked live_stream
        not_yet_live drm_protected login_required playlist_not_supported too_long too_large no_audio bot_check
        source_rate_limited source_error download_failed media_invalid transcription_failed analysis_failed engine_auth
        engine_quota budget_exceeded url_not_allowed timed_out cancelled internal"""

    assert set(JOB_ERRORS) == set(contract.split())


def test_every_code_that_the_source_names_is_in_a_table() -> None:
    named = {
        code
        for path in sources()
        for code in re.findall(r"(?:JobError|Problem)\(\s*\"(\w+)\"", path.read_text(encoding="utf-8"))
    }

    assert named - set(JOB_ERRORS) - set(PROBLEMS) == set()


def test_no_module_is_a_drawer_for_everything() -> None:
    assert [path for path in sources() if path.stem in {"utils", "helpers", "common", "misc"}] == []


def test_every_required_package_of_the_owner_is_pinned_and_in_use() -> None:
    pinned = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    text = "\n".join(path.read_text(encoding="utf-8") for path in [*sources(), ROOT / "celeryconfig.py"])

    for package in ("celery", "redis", "flask", "yt-dlp", "openai", "requests", "flower", "python-dotenv"):
        assert re.search(rf"^{package}==\S+ .*\\\n +--hash=sha256:", pinned, re.MULTILINE), package
    for module in ("celery", "redis", "flask", "yt_dlp", "openai", "requests", "flower", "dotenv"):
        assert re.search(rf"import {module}\b|from {module}\b|\"{module}\"", text), module


def test_no_address_of_a_package_index_is_in_the_requirements() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "requirements.in", "requirements-dev.in"):
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links", (ROOT / name).read_text(encoding="utf-8"))
