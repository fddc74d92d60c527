"""The documents of the wire, as pydantic models: what a caller sends, and what it is told.

The parts of a result (metadata, analysis, ideas) are in `coop.results`. `/openapi.json` is made from these models,
so what is validated, what is sent and what is documented cannot differ.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from coop.errors import JobError
from coop.jobs import (
    DeliveryAttempt,
    DeliveryStatus,
    Job,
    JobOptions,
    JobStatus,
    Priority,
    Stage,
    StageRecord,
    StageStatus,
)
from coop.results import Analysis, Found, Idea, Metadata, Segment, Usage, WireModel, iso_duration

REQUEST_ID_PATTERN = r"^[A-Za-z0-9._:-]{1,128}$"
URL_MAX_LENGTH = 2048


class Document(WireModel):
    """What is sent. Like all of `coop.results`, it keeps fields of a newer version: fleets are upgraded bit by bit."""

    def to_json(self) -> bytes:
        """Compact UTF-8 JSON."""
        return self.model_dump_json(by_alias=True).encode()


class Request(BaseModel):
    """What is read from a caller: a field that is not in the contract is refused, so that a typing error is noticed."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


# What a caller sends


class ServerInfo(Request):
    """Who asks, in its own words, and where the result is to be sent."""

    server_id: str | None = Field(None, max_length=128, description="For the caller's own logs; the key decides.")
    callback_url: str | None = Field(
        None, min_length=1, max_length=URL_MAX_LENGTH, description="Where the result is POSTed to. Unset: nowhere."
    )


class SubmitRequest(Request):
    """The body of `POST /api/process-video`."""

    request_id: str = Field(pattern=REQUEST_ID_PATTERN, description="Unique per client; the same again is no new job.")
    video_url: str = Field(min_length=1, max_length=URL_MAX_LENGTH, description="The page of the video.")
    priority: Priority = Field(Priority.NORMAL, description="Which of the waiting jobs go first.")
    api_key: str | None = Field(None, max_length=256, description="The key, where no Authorization header can be sent.")
    timestamp: AwareDatetime | None = Field(None, description="When the caller asked; not used.")
    server_info: ServerInfo = Field(default_factory=ServerInfo)
    options: JobOptions = Field(default_factory=JobOptions)

    @property
    def callback_url(self) -> str | None:
        return self.server_info.callback_url


# What a caller is told


class Accepted(Document):
    """The job is kept and will be done. What the same request sent again is told, too."""

    success: Literal[True] = True
    request_id: str
    status: Literal[JobStatus.QUEUED] = JobStatus.QUEUED
    status_url: str
    events_url: str
    queue_position: int = Field(description="How many jobs went before it when it was accepted.")
    estimated_seconds: int = Field(description="Until its end, by the fleet's recent pace.")


class Cost(Document):
    """What the engines cost. `usd` is null when the price of any part is unknown."""

    usd: float | None
    items: tuple[Usage, ...]


class Engines(Document):
    """Who did it: `openai:MODEL`, `local:MODEL`, `captions` or `offline`."""

    transcribe: str
    analyze: str
    ideas: str


class Result(Document):
    """What was understood of a video."""

    metadata: Metadata
    transcript: str = Field(description="All that is said; empty for a video without speech.")
    analysis: Analysis
    ideas: tuple[Idea, ...]
    segments: tuple[Segment, ...]
    language: str | None
    words_per_minute: float | None
    cost: Cost
    engines: Engines
    cached: bool = Field(False, description="Found by an earlier job for the same video, and so at no cost.")


class Failure(Document):
    """Why a job failed, and who can do something about it."""

    code: str
    message: str
    stage: Stage | None
    retryable: bool
    retry_after_seconds: int | None
    actor: Literal["caller", "operator", "nobody"]


class SuccessDocument(Document):
    """The final document of a job that succeeded. `processing_time`: milliseconds from its acceptance."""

    success: Literal[True] = True
    request_id: str
    processing_time: int
    timestamp: str
    result: Result


class FailureDocument(Document):
    """The final document of a job that failed or was cancelled."""

    success: Literal[False] = False
    request_id: str
    processing_time: int
    timestamp: str
    error: Failure


ResultDocument = Annotated[SuccessDocument | FailureDocument, Field(discriminator="success")]
_outcome_reader: TypeAdapter[SuccessDocument | FailureDocument] = TypeAdapter(ResultDocument)


class StageDocument(Document):
    name: Stage
    status: StageStatus
    attempts: int
    started_at: str | None
    ended_at: str | None
    machine: str | None


class AttemptDocument(Document):
    """One POST to the callback URL; `status` is the HTTP status, null when there was no answer."""

    at: str
    status: int | None
    error: str | None
    milliseconds: int


class DeliveryDocument(Document):
    status: DeliveryStatus
    url: str | None
    attempts: tuple[AttemptDocument, ...]
    next_attempt_at: str | None


class JobCost(Document):
    """What the job has cost so far, failed attempts included; null when the price of any part is unknown."""

    usd: float | None


class JobSummary(Document):
    """Where a job is, as lists and events show it. `error` is that of its final document, null before."""

    request_id: str
    status: JobStatus
    stage: Stage | None
    progress: float = Field(ge=0, le=1)
    priority: Priority
    video_url: str
    accepted_at: str
    started_at: str | None
    ended_at: str | None
    machine: str | None
    run: int
    queue_position: int | None
    stages: tuple[StageDocument, ...]
    delivery: DeliveryDocument
    cost: JobCost
    error: Failure | None


class JobDocument(JobSummary):
    """Where a job is. `result` is that of its final document, null before."""

    result: Result | None


class JobList(Document):
    """One page of jobs, newest first; `next_cursor` is null on the last page."""

    jobs: tuple[JobSummary, ...]
    next_cursor: str | None


class JobListQuery(Request):
    """What `GET /api/jobs` may be asked."""

    status: JobStatus | None = Field(None, description="Jobs with this status only.")
    limit: int = Field(20, ge=1, le=100, description="Jobs per page.")
    cursor: str | None = Field(
        None, pattern=r"^[0-9]{1,15}~[A-Za-z0-9._:-]{3,193}$", description="The `nextCursor` of the page before."
    )


class FieldError(Document):
    """One field that does not fit: its path, dotted, and what is wrong with it."""

    field: str
    detail: str


class ProblemDocument(Document):
    """An RFC 9457 problem."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[FieldError, ...] | None = None


# From the record to the wire


def instant(unix_milliseconds: int | None, timespec: str = "milliseconds") -> str | None:
    """ISO 8601 in UTC, `2026-11-22T09:49:05.120Z`; None stays None."""
    if unix_milliseconds is None:
        return None
    moment = datetime.fromtimestamp(unix_milliseconds / 1000, UTC)
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


def success_body(
    job: Job, found: Found, processing_milliseconds: int, ended_at_ms: int, *, cached: bool = False
) -> bytes:
    """The final document of a job whose stages up to `ideas` have all found something: the bytes that are delivered.

    Raises ValueError when a stage is missing.
    """
    return SuccessDocument(
        request_id=job.request_id,
        processing_time=processing_milliseconds,
        timestamp=str(instant(ended_at_ms, "seconds")),
        result=_result_of(found, cached=cached),
    ).to_json()


def failure_body(
    job: Job, error: JobError, stage: Stage | None, processing_milliseconds: int, ended_at_ms: int
) -> bytes:
    """The final document of a job that ended in `error` in `stage`: the bytes that are delivered."""
    return FailureDocument(
        request_id=job.request_id,
        processing_time=processing_milliseconds,
        timestamp=str(instant(ended_at_ms, "seconds")),
        error=Failure(
            code=error.code,
            message=error.message,
            stage=stage,
            retryable=error.retryable,
            retry_after_seconds=None if error.retry_after is None else math.ceil(error.retry_after),
            actor=error.actor,
        ),
    ).to_json()


def _result_of(found: Found, *, cached: bool) -> Result:
    if not (found.metadata and found.transcribe and found.analyze and found.ideas):
        raise ValueError("a result needs what metadata, transcribe, analyze and ideas found")
    return Result(
        metadata=_with_measured_duration(found),
        transcript=found.transcribe.text,
        analysis=found.analyze.analysis,
        ideas=found.ideas.ideas,
        segments=found.transcribe.segments,
        language=found.transcribe.language,
        words_per_minute=found.transcribe.words_per_minute,
        cost=_cost_of(_usage_of(found)),
        engines=Engines(transcribe=found.transcribe.engine, analyze=found.analyze.engine, ideas=found.ideas.engine),
        cached=cached,
    )


def _with_measured_duration(found: Found) -> Metadata:
    """The site's own words, and the duration of the media where the site tells none."""
    told = found.metadata.metadata if found.metadata else Metadata()
    if told.duration or found.download is None:
        return told
    return told.model_copy(update={"duration": iso_duration(found.download.duration_seconds)})


def usd_so_far(found: Found) -> float | None:
    """What all attempts that have ended cost together; None when the price of any part is unknown."""
    return _cost_of(_usage_of(found)).usd


def _usage_of(found: Found) -> tuple[Usage, ...]:
    reports = (found.transcribe, found.analyze, found.ideas)
    return (*found.spent, *(item for report in reports if report for item in report.usage))


def _cost_of(items: tuple[Usage, ...]) -> Cost:
    prices = [item.usd for item in items]
    known = [price for price in prices if price is not None]
    # Rounded to a millionth of a cent: sums of binary fractions would show digits that mean nothing.
    return Cost(usd=round(math.fsum(known), 8) if len(known) == len(prices) else None, items=items)


def job_document(
    job: Job, *, queue_position: int | None, usd: float | None, outcome: bytes | None = None
) -> JobDocument:
    """The job as callers see it. Without `outcome` (the final document's bytes) it has neither `result` nor `error`."""
    ended = _outcome_reader.validate_json(outcome) if outcome else None
    return JobDocument(
        request_id=job.request_id,
        status=job.status,
        stage=job.stage,
        progress=job.progress,
        priority=job.priority,
        video_url=job.video_url,
        accepted_at=str(instant(job.accepted_at)),
        started_at=instant(job.started_at),
        ended_at=instant(job.ended_at),
        machine=job.machine,
        run=job.run,
        queue_position=queue_position,
        stages=tuple(_stage_document(record) for record in job.stages),
        delivery=_delivery_document(job),
        cost=JobCost(usd=usd),
        result=ended.result if isinstance(ended, SuccessDocument) else None,
        error=ended.error if isinstance(ended, FailureDocument) else None,
    )


def without_result(document: JobDocument) -> bytes:
    """The JSON of lists and events, which leave `result` out: it can be large and is asked for by itself."""
    return document.model_dump_json(by_alias=True, exclude={"result"}).encode()


def job_list_body(jobs: Iterable[JobDocument], next_cursor: str | None) -> bytes:
    """A page of jobs as JSON, each without its `result`."""
    page = b",".join(without_result(job) for job in jobs)
    return b'{"jobs":[' + page + b'],"nextCursor":' + json.dumps(next_cursor).encode() + b"}"


def _stage_document(record: StageRecord) -> StageDocument:
    return StageDocument(
        name=record.name,
        status=record.status,
        attempts=record.attempts,
        started_at=instant(record.started_at),
        ended_at=instant(record.ended_at),
        machine=record.machine,
    )


def _delivery_document(job: Job) -> DeliveryDocument:
    delivery = job.delivery
    return DeliveryDocument(
        status=delivery.status,
        url=delivery.url,
        attempts=tuple(_attempt_document(attempt) for attempt in delivery.attempts),
        next_attempt_at=instant(delivery.next_attempt_at),
    )


def _attempt_document(attempt: DeliveryAttempt) -> AttemptDocument:
    return AttemptDocument(
        at=str(instant(attempt.at)), status=attempt.status, error=attempt.error, milliseconds=attempt.milliseconds
    )
