"""A worker that has had no job yet holds none of the heavy packages."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"av", "ctranslate2", "faster_whisper", "nltk", "numpy", "onnxruntime", "openai", "textblob", "yake"}
# What packages add to Celery's own command.
COMMANDS = {"click_repl", "flower", "prompt_toolkit", "tornado"}


def loaded_by(*modules: str) -> set[str]:
    """The packages that a fresh process holds after these imports."""
    code = f"import sys, {', '.join(modules)}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_the_stages_load_no_engine_before_it_is_used() -> None:
    assert HEAVY.isdisjoint(loaded_by("workers.stages.transcribe", "workers.stages.analyze", "workers.stages.ideas"))


def test_celery_is_started_without_the_commands_that_others_add_to_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COOP_REDIS_URL", "redis://127.0.0.1:1/0")

    loaded = loaded_by("workers.celery_main", "workers.app", "celery.apps.worker")

    assert "celery" in loaded
    assert (HEAVY | COMMANDS).isdisjoint(loaded)
