"""The words of the contract: jobs, stages, deliveries and the moves between their states.

Source: the wire contract (`docs/api.md`). Nothing here does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Stage(StrEnum):
    """The stages of the pipeline, in order. Every list of stages is read from here."""

    METADATA = "metadata"
    DOWNLOAD = "download"
    TRANSCRIBE = "transcribe"
    ANALYZE = "analyze"
    IDEAS = "ideas"
    DELIVER = "deliver"

    @property
    def queue(self) -> str:
        """The Celery queue that holds this stage's messages."""
        return f"coop.{self.value}"

    @property
    def task(self) -> str:
        """The name of the Celery task that runs this stage."""
        return f"workers.tasks.{self.value}"


STAGES: tuple[Stage, ...] = tuple(Stage)


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


class StageStatus(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


class DeliveryStatus(StrEnum):
    NONE = "none"
    PENDING = "pending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"


class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @property
    def message_priority(self) -> int:
        """What Celery is told: on Redis 0 is the highest. celeryconfig's priority_steps are these numbers."""
        return {Priority.HIGH: 0, Priority.NORMAL: 5, Priority.LOW: 9}[self]


def _whole(value: object) -> object:
    """JSON knows no integers: 2.0 is the number 2."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class JobOptions(BaseModel):
    """What a caller may choose about one job. A choice that is left out is not in `model_fields_set`."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    language: str | None = Field(
        None,
        max_length=35,
        pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$",
        description="Language of the speech (BCP 47), when the caller knows it; detected otherwise.",
    )
    ideas: Annotated[int, BeforeValidator(_whole)] = Field(
        3, ge=1, le=10, description="How many content ideas to make."
    )
    captions: Literal["prefer", "never"] = Field(
        "prefer", description="`prefer`: captions written by the uploader replace transcription; `never`: they do not."
    )


@dataclass(frozen=True)
class StageRecord:
    """How far one stage of a job is. Times are Unix milliseconds by Redis' clock."""

    name: Stage
    status: StageStatus = StageStatus.WAITING
    attempts: int = 0
    started_at: int | None = None
    ended_at: int | None = None
    machine: str | None = None


_NOT_BEGUN = tuple(StageRecord(stage) for stage in STAGES)


@dataclass(frozen=True)
class DeliveryAttempt:
    """One POST to the callback URL. `at`: Unix milliseconds; `status`: the HTTP status, None without an answer."""

    at: int
    status: int | None
    error: str | None
    milliseconds: int


@dataclass(frozen=True)
class Delivery:
    status: DeliveryStatus = DeliveryStatus.NONE
    url: str | None = None
    attempts: tuple[DeliveryAttempt, ...] = ()
    next_attempt_at: int | None = None


@dataclass(frozen=True)
class Job:
    """One accepted request. `id` is unique in the fleet, `request_id` within its client, `trace` names the HTTP request
    in the logs. Times: Unix milliseconds."""

    id: str
    client: str
    request_id: str
    video_url: str
    priority: Priority
    options: JobOptions
    accepted_at: int
    status: JobStatus = JobStatus.QUEUED
    stage: Stage | None = Stage.METADATA
    run: int = 1
    started_at: int | None = None
    ended_at: int | None = None
    restarted_at: int | None = None
    machine: str | None = None
    stages: tuple[StageRecord, ...] = _NOT_BEGUN
    delivery: Delivery = field(default_factory=Delivery)
    trace: str = ""

    @property
    def began_at(self) -> int:
        """When it was accepted, or last driven again."""
        return self.restarted_at or self.accepted_at

    @property
    def progress(self) -> float:
        """Share of the stages before `deliver` that have ended, 0 to 1; 1 for a job that has ended."""
        if self.status.is_final:
            return 1.0
        work = [record for record in self.stages if record.name is not Stage.DELIVER]
        done = sum(record.status in (StageStatus.SUCCEEDED, StageStatus.SKIPPED) for record in work)
        return round(done / len(work), 3)


def job_id_of(client: str, request_id: str) -> str:
    """The fleet-wide id of a client's request; a client's name holds no colon, so it is unambiguous."""
    return f"{client}:{request_id}"
