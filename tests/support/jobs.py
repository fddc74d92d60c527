"""Jobs for tests: made in a real store and driven as far as a test needs."""

from __future__ import annotations

import redis

from coop.job_store import Acceptance, Claim, JobStore, NewJob
from coop.jobs import JobOptions, Priority, Stage, job_id_of
from coop.results import (
    Analysis,
    AnalysisReport,
    Audio,
    Emotion,
    EntryStyle,
    Idea,
    IdeasReport,
    Metadata,
    Pace,
    Segment,
    Source,
    Structure,
    Transcript,
    Usage,
    WireModel,
)
from coop.settings import Settings, read_settings

CLIENT = "shop"


def settings_of(redis_url: str, **variables: str) -> Settings:
    """Settings as if the environment held just these: `settings_of(url, lease_seconds="1")`."""
    return read_settings(
        {"COOP_REDIS_URL": redis_url, **{f"COOP_{name.upper()}": value for name, value in variables.items()}}, None
    )


def store_of(client: redis.Redis, **variables: str) -> JobStore:
    return JobStore(client, settings_of("redis://unused", **variables))


def new_job(request_id: str = "r1", **changes: object) -> NewJob:
    values: dict[str, object] = {
        "client": CLIENT,
        "request_id": request_id,
        "video_url": "https://example.org/v",
        "priority": Priority.NORMAL,
        "options": JobOptions(),
        "callback_url": "https://example.org/callback",
        "fingerprint": "f",
    }
    return NewJob(**{**values, **changes})  # type: ignore[arg-type]  # a test's own choice of fields


def accepted(store: JobStore, request_id: str = "r1", **changes: object) -> Acceptance:
    return store.accept(new_job(request_id, **changes))


def cost_of(store: JobStore, job_id: str) -> float | None:
    """US dollars so far."""
    job = store.get(job_id)
    assert job
    return store.detail(job).usd


def claimed(store: JobStore, request_id: str = "r1", stage: Stage = Stage.METADATA, run: int = 1) -> Claim:
    """A claim that must be given."""
    claim = store.claim(job_id_of(CLIENT, request_id), run, stage, "mill")
    assert isinstance(claim, Claim), claim
    return claim


OUTPUTS: dict[Stage, WireModel] = {
    Stage.METADATA: Source(metadata=Metadata(id="v", title="A video"), url="https://example.org/v", extractor="test"),
    Stage.DOWNLOAD: Audio(file_name="audio.m4a", codec="aac", size_bytes=9, duration_seconds=27.0, copied=True),
    Stage.TRANSCRIBE: Transcript(
        text="Hello there.",
        language="en",
        segments=(Segment(start=0, end=1, text="Hello there."),),
        words_per_minute=120,
        engine="local:tiny.en",
        usage=(Usage(engine="local", model="tiny.en", usd=0.25),),
    ),
    Stage.ANALYZE: AnalysisReport(
        analysis=Analysis(
            hook="Hello there.",
            entry_style=EntryStyle.GREETING,
            niche="technology",
            structure=Structure.MONOLOGUE,
            length_seconds=27,
            pace=Pace.MODERATE,
            emotion=Emotion.NEUTRAL,
        ),
        engine="offline",
    ),
    Stage.IDEAS: IdeasReport(
        ideas=(Idea(title="T", hook="H", outline="1. a", suggested_length=30, tone="casual"),), engine="offline"
    ),
}


def advance_to(store: JobStore, stage: Stage, request_id: str = "r1", run: int = 1) -> None:
    """Have every stage before `stage` end well; the job then waits at it."""
    for each, output in OUTPUTS.items():
        if each is stage:
            return
        claim = claimed(store, request_id, each, run)
        assert (store.succeed if each is Stage.IDEAS else store.advance)(claim, output, {})
