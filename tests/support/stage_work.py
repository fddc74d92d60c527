"""A stage's work, made without Celery and Redis: what a test puts into `run`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from coop.jobs import Job, JobOptions, Priority
from coop.results import Audio, Captions, Found, Metadata, Segment, Source, Transcript
from coop.settings import Settings
from workers.engines.deadline import Deadline
from workers.stages.work import Work


class MemoryArtifacts(dict[str, bytes]):
    """Artifacts that live as long as the test."""

    def save(self, name: str, content: bytes) -> None:
        self[name] = content

    def load(self, name: str) -> bytes | None:
        return self.get(name)


def make_work(
    tmp_path: Path,
    *,
    found: Found | None = None,
    settings: Settings | None = None,
    options: dict[str, Any] | None = None,
    artifacts: dict[str, bytes] | None = None,
    seconds: float = 60,
    cancelled: threading.Event | None = None,
) -> Work:
    """Work on a job with these findings. Settings without any: the engines that need no key, data in `tmp_path`."""
    workspace = tmp_path / "workspace"
    workspace.mkdir(exist_ok=True)
    job = Job(
        id="test:req_1",
        client="test",
        request_id="req_1",
        video_url="https://example.org/v/1",
        priority=Priority.NORMAL,
        options=JobOptions(**(options or {})),
        accepted_at=0,
    )
    return Work(
        job=job,
        found=found or Found(),
        settings=settings or Settings(data_dir=tmp_path),
        workspace=workspace,
        deadline=Deadline(seconds, cancelled),
        artifacts=MemoryArtifacts(artifacts or {}),
    )


def make_source(**more: Any) -> Source:
    metadata = Metadata(id="v1", title=more.pop("title", "Power supplies"), channel="PC Corner")
    return Source(metadata=metadata, url="https://example.org/v/1", extractor="Generic", **more)


def make_audio(file_name: str = "audio.m4a", *, seconds: float = 27.4, captions: Captions | None = None) -> Audio:
    return Audio(
        file_name=file_name, codec="aac", size_bytes=1, duration_seconds=seconds, copied=True, captions=captions
    )


def make_transcript(text: str, *, language: str | None = "en", words_per_minute: float | None = 150) -> Transcript:
    """A transcript of one segment; of no text, one of silence."""
    if not text:
        return Transcript(engine="local:tiny.en")
    segments = (Segment(start=0, end=10, text=text),)
    return Transcript(
        text=text, language=language, segments=segments, words_per_minute=words_per_minute, engine="local:tiny.en"
    )
