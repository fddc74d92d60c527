"""A job's record, the Redis hash, read into a `Job`. Only `coop.job_store` uses it.

Fields of a newer version, in the hash or within one of its values, are passed over here and stay where they are:
nothing writes a whole record back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields

from coop.jobs import (
    STAGES,
    Delivery,
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
from coop.results import Found

Record = Mapping[str, str]


def decode(raw: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in raw.items()}


def decode_pairs(raw: list[bytes]) -> dict[str, str]:
    """HGETALL as a script returns it: fields and values in turn."""
    return decode(dict(zip(raw[::2], raw[1::2], strict=True)))


def job_of(record: Record) -> Job:
    return Job(
        id=record["id"],
        client=record["client"],
        request_id=record["request_id"],
        video_url=record["video_url"],
        priority=Priority(record["priority"]),
        options=_options_of(record),
        accepted_at=int(record["accepted_at"]),
        status=JobStatus(record["status"]),
        stage=Stage(record["stage"]) if record.get("stage") else None,
        run=int(record["run"]),
        started_at=_number(record, "started_at"),
        ended_at=_number(record, "ended_at"),
        restarted_at=_number(record, "restarted_at"),
        machine=record.get("machine"),
        stages=tuple(_stage_of(record, stage) for stage in STAGES),
        delivery=_delivery_of(record),
        trace=record.get("trace", ""),
    )


def found_of(record: Record) -> Found:
    texts = {stage: record[f"found.{stage}"] for stage in STAGES if f"found.{stage}" in record}
    spent = [json.loads(line) for line in record.get("spent", "").splitlines()]
    return Found.model_validate({stage: json.loads(text) for stage, text in texts.items()} | {"spent": spent})


def _stage_of(record: Record, stage: Stage) -> StageRecord:
    return StageRecord(
        name=stage,
        status=StageStatus(record.get(f"{stage}.status", StageStatus.WAITING)),
        attempts=_number(record, f"{stage}.attempts") or 0,
        started_at=_number(record, f"{stage}.started_at"),
        ended_at=_number(record, f"{stage}.ended_at"),
        machine=record.get(f"{stage}.machine"),
    )


def _delivery_of(record: Record) -> Delivery:
    lines = record.get("delivery_attempts", "").splitlines()
    return Delivery(
        status=DeliveryStatus(record.get("delivery_status", DeliveryStatus.NONE)),
        url=record.get("callback_url") or None,
        attempts=tuple(_attempt_of(line) for line in lines),
        next_attempt_at=_number(record, "next_attempt_at"),
    )


def _options_of(record: Record) -> JobOptions:
    """What a caller chose, as far as this version knows of it."""
    known = {field.alias for field in JobOptions.model_fields.values()}
    return JobOptions(**{name: value for name, value in json.loads(record["options"]).items() if name in known})


def _attempt_of(line: str) -> DeliveryAttempt:
    known = {field.name for field in fields(DeliveryAttempt)}
    return DeliveryAttempt(**{name: value for name, value in json.loads(line).items() if name in known})


def _number(record: Record, name: str) -> int | None:
    return int(record[name]) if name in record else None
