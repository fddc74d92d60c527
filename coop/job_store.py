"""Jobs in Redis: the record is the truth, and every transition is one atomic step (`coop/lua/`).

A running stage holds a lease; a job's `run` is its fencing number. Whoever writes names run, stage and the token of
its lease, and is refused once any of them is no longer the present one. Times are Redis' clock, in milliseconds.

    queued ── claim ──► running ── advance (per stage) ──► finish ──► succeeded | failed
                          │  ▲                                          │ with a callback URL:
             postpone ────┘  └──── take_over (due, crashed, lost)       └► deliver: record_delivery

All methods raise `redis.RedisError` when Redis cannot be asked.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any, Literal, cast

import redis
from pydantic import ValidationError

from coop import documents, metrics
from coop.errors import JobError, Problem
from coop.job_records import decode, decode_pairs, found_of, job_of
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
    StageStatus,
    job_id_of,
)
from coop.redis_clock import RedisClock
from coop.results import Found, Usage, WireModel
from coop.settings import Settings
from coop.webhooks import SPENT_ID_SECONDS, Spending, replayed

WORKER_ALIVE_SECONDS = 20
"""A worker that has not been heard of for so long does not count among the machines."""

ACCEPT_WITHIN_SECONDS = 1.4
"""The gateway has answered 503 by then; a Redis that was frozen meanwhile must not accept the job after all."""

Reason = Literal["due", "crashed", "lost"]


@dataclass(frozen=True)
class NewJob:
    """What the gateway hands in. `fingerprint` tells the same request sent again from another one; `trace` is the id
    of that request in the logs."""

    client: str
    request_id: str
    video_url: str
    priority: Priority
    options: JobOptions
    callback_url: str | None
    fingerprint: str
    trace: str = ""


@dataclass(frozen=True)
class Posting:
    """The first message of a job's chain, which is sent with the very step that keeps the job."""

    list_name: str
    message: bytes


class ClientChanged(Exception):
    """The client's record is not the one that the request was looked at by."""


@dataclass(frozen=True)
class Acceptance:
    """`is_posted`: its first message was sent, now or before; what was not sent the reaper sends."""

    job: Job
    queue_position: int
    estimated_seconds: int
    is_replay: bool
    is_posted: bool = True


@dataclass(frozen=True)
class Detail:
    """`queue_position`: how many waiting jobs go before it at its stage, None when it does not wait; `usd`: what it
    cost so far, None when the price of any part is unknown; `outcome`: the final document once there is one."""

    queue_position: int | None
    usd: float | None
    outcome: bytes | None


@dataclass(frozen=True)
class Claim:
    """A lease on one stage of one run of a job, and all that the stage needs. It is the licence to write."""

    job: Job
    found: Found
    stage: Stage
    token: str
    failures: int
    delivery_tries: int
    delivery_id: str | None
    outcome: bytes | None
    redis_ms: int
    claimed_at: float = field(default_factory=time.monotonic)

    def now_ms(self) -> int:
        """Redis' clock, reckoned from the claim: a worker's own clock may be off."""
        return self.redis_ms + self.elapsed_ms()

    def age_seconds(self) -> float:
        """Since the job was accepted, or driven again."""
        return (self.now_ms() - self.job.began_at) / 1000

    def elapsed_ms(self) -> int:
        return int((time.monotonic() - self.claimed_at) * 1000)


@dataclass(frozen=True)
class Refusal:
    """Why a message is not acted on: `unknown`, `stale`, `running`, `done` or `elsewhere`."""

    reason: str


@dataclass(frozen=True)
class Census:
    """The fleet at this moment, for /metrics and `coop status`."""

    in_flight: dict[Stage, int]
    queue_depth: dict[Priority, int]
    queue_oldest_seconds: float
    machine_names: frozenset[str]
    slots_busy: int
    slots_free: int

    @property
    def machines(self) -> int:
        return len(self.machine_names)


class JobStore:
    """All that is known of jobs, of every client, in one Redis."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self.redis = client
        self._settings = settings
        self._scripts = {name: client.register_script(source) for name, source in _sources()}
        self._clock = RedisClock(client)

    # Acceptance and reading

    def accept(
        self,
        new: NewJob,
        posting: Posting | None = None,
        spending: Spending | None = None,
        client_sha1: str = "",
    ) -> Acceptance:
        """Keep a new job, send `posting` and mark `spending` in one step: all on disk when this returns.

        A request that came before sends nothing. `client_sha1`: of the client's record, for who has only
        remembered it. Raises ClientChanged when it is another by now, and nothing was done; Problem
        `request_id_conflict`, `queue_full`, or `replayed` when `spending` was spent before.
        """
        job_id = job_id_of(new.client, new.request_id)
        record = {
            "request_id": new.request_id,
            "video_url": new.video_url,
            "options": new.options.model_dump_json(by_alias=True, exclude_unset=True),
            "callback_url": new.callback_url or "",
            "trace": new.trace,
        }
        not_after = self._clock.now_ms() + int(ACCEPT_WITHIN_SECONDS * 1000)
        settings = self._settings
        own_share = math.ceil(settings.max_queue * settings.max_queue_share)
        limits = (settings.max_queue, WORKER_ALIVE_SECONDS * 1000, not_after, own_share)
        spent = (spending.key, spending.mark, SPENT_ID_SECONDS) if spending else ("", "", 0)
        posted = (posting.list_name, posting.message) if posting else ("", b"")
        known = (job_id, new.client, new.priority.value, new.fingerprint)
        answer = self._call("accept", *known, *limits, *spent, *posted, client_sha1, *_flat(record))
        outcome = answer[0].decode()
        if outcome == "changed":
            raise ClientChanged
        if outcome == "spent":
            raise replayed()
        if outcome == "late":
            raise redis.TimeoutError("Redis took up the job too late; it was not accepted")
        if outcome == "conflict":
            raise Problem("request_id_conflict")
        if outcome == "full":
            raise Problem("queue_full", f"{answer[1]} jobs wait already.", retry_after=30)
        is_replay = outcome == "replay"
        job = job_of(decode_pairs(answer[3])) if is_replay else _accepted_job(job_id, new, answer[3])
        return Acceptance(job, answer[1], answer[2], is_replay, is_posted=is_replay or bool(answer[4]))

    def get(self, job_id: str) -> Job | None:
        record = self._record(job_id)
        return job_of(record) if record else None

    def get_many(self, job_ids: Iterable[str]) -> list[Job]:
        """The jobs that exist, in the order asked for, in one round trip."""
        with self.redis.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hgetall(_record_key(job_id))
            return [job_of(decode(record)) for record in pipeline.execute() if record]

    def found(self, job_id: str) -> Found:
        """What the job's stages have found so far."""
        return found_of(self._record(job_id))

    def outcome(self, job_id: str) -> bytes | None:
        """The final document, the very bytes that are delivered; None while the job runs."""
        return cast(bytes | None, self.redis.hget(_record_key(job_id), "outcome"))

    def list_jobs(
        self, client: str | None, status: JobStatus | None, limit: int, cursor: str | None
    ) -> tuple[list[Job], str | None]:
        """Newest first: a page of jobs and the cursor of the next page, None on the last. ValueError: a bad cursor."""
        owner = f"client:{client}" if client else "all"
        statuses = [status] if status else list(JobStatus)
        keys = [f"coop:jobs:{owner}:{each.value}" for each in statuses]
        newest, last_id = _read_cursor(cursor)
        with self.redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                # Jobs of the cursor's own millisecond come again and are passed over by their id.
                pipeline.zrevrangebyscore(
                    key, newest, "-inf", start=0, num=limit + 1 + _SAME_MILLISECOND, withscores=True
                )
            pages = pipeline.execute()
        rows = sorted(((score, member.decode()) for page in pages for member, score in page), reverse=True)
        if last_id is not None:
            rows = [row for row in rows if row < (float(newest), last_id)]
        page = rows[:limit]
        next_cursor = f"{int(page[-1][0])}~{page[-1][1]}" if len(rows) > limit else None
        return self.get_many(job_id for _, job_id in page), next_cursor

    def detail(self, job: Job, *, with_outcome: bool = True) -> Detail:
        """What a job's document tells beyond the job itself, in one round trip. `outcome` is None without it."""
        names = [*_PRICED, "outcome"] if with_outcome else _PRICED
        waits = job.stage if job.status is JobStatus.QUEUED else None
        with self.redis.pipeline(transaction=False) as pipeline:
            pipeline.hmget(_record_key(job.id), names)
            if waits:
                pipeline.zrank(_waiting_key(waits, job.priority), job.id)
                for priority in Priority:
                    if priority.message_priority < job.priority.message_priority:
                        pipeline.zcard(_waiting_key(waits, priority))
            values, *places = pipeline.execute()
        fields = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        outcome = fields.pop("outcome", None)
        return Detail(
            queue_position=None if not places or places[0] is None else sum(places),
            usd=documents.usd_so_far(found_of({name: value.decode() for name, value in fields.items()})),
            outcome=outcome,
        )

    # What a worker does

    def claim(self, job_id: str, run: int, stage: Stage, machine: str) -> Claim | Refusal:
        """Take the lease on a stage, or learn why not."""
        token = secrets.token_hex(8)
        answer = self._call("claim", job_id, run, stage, token, machine, self._lease_ms())
        if answer[0] == b"refused":
            return Refusal(answer[1].decode())
        record = decode_pairs(answer[2])
        return Claim(
            job=job_of(record),
            found=found_of(record),
            stage=stage,
            token=token,
            failures=int(record.get(f"{stage}.failures", 0)),
            delivery_tries=int(record.get("delivery_tries", 0)),
            delivery_id=record.get("delivery_id"),
            outcome=record["outcome"].encode() if "outcome" in record else None,
            redis_ms=answer[1],
        )

    def renew(self, claims: Sequence[Claim]) -> set[str]:
        """Prolong leases; returns the tokens of those that are lost: cancelled, or taken over by a newer run."""
        held = [part for claim in claims for part in (claim.job.id, claim.job.run, claim.stage, claim.token)]
        return {token.decode() for token in self._call("renew", self._lease_ms(), *held)}

    def advance(self, claim: Claim, output: WireModel, increments: Mapping[str, float]) -> bool:
        """Record what a stage found; the next one waits now. False: the claim was lost, nothing is written."""
        following = STAGES[STAGES.index(claim.stage) + 1]
        return self._write("advance", claim, following, output.model_dump_json(by_alias=True), json.dumps(increments))

    def succeed(self, claim: Claim, output: WireModel, increments: Mapping[str, float]) -> bool:
        """Record the last stage's output and the job's success. False: the claim was lost, nothing is written."""
        found = claim.found.model_copy(update={claim.stage.value: output})
        now = claim.now_ms()
        body = documents.success_body(claim.job, found, now - claim.job.accepted_at, now)
        ended = {**increments, **_ended(JobStatus.SUCCEEDED, claim.job, now)}
        text = output.model_dump_json(by_alias=True)
        return self._finish(claim, JobStatus.SUCCEEDED, body, StageStatus.SUCCEEDED, text, ended)

    def recall(self, claim: Claim, found: Found, increments: Mapping[str, float]) -> bool:
        """End the job with what an earlier one found, at its first stage and at no cost. False: the claim was lost."""
        now = claim.now_ms()
        body = documents.success_body(claim.job, found, now - claim.job.accepted_at, now, cached=True)
        ended = {**increments, **_ended(JobStatus.SUCCEEDED, claim.job, now)}
        outputs = [(stage, getattr(found, stage)) for stage in STAGES[:-1]]
        texts = [part for stage, output in outputs for part in (stage, output.model_dump_json(by_alias=True))]
        return self._write("recall", claim, body, _message_id(), json.dumps(ended), *texts)

    def known(self, key: str) -> Found | None:
        """What was remembered under `key`: it has cost nothing this time. None also for another version's."""
        text = cast(bytes | None, self.redis.get(f"coop:result:{key}"))
        if text is None:
            return None
        try:
            found = Found.model_validate_json(text)
        except ValidationError:
            return None
        outputs = {stage: getattr(found, stage) for stage in STAGES[:-1]}
        if None in outputs.values():
            return None
        free = {
            name.value: output.model_copy(update={"usage": ()}) for name, output in outputs.items() if name in _PAID
        }
        return found.model_copy(update=free)

    def remember(self, key: str, found: Found) -> None:
        """Keep what a job has found, for `cache_days` and among the newest `cache_results`."""
        seconds = int(self._settings.cache_days * 86_400)
        text = found.model_dump_json(by_alias=True, exclude={"spent"})
        self._call("remember", key, text, seconds, self._settings.cache_results)

    def fail(self, claim: Claim, error: JobError, increments: Mapping[str, float]) -> bool:
        """Record the job's failure. False: the claim was lost, nothing is written."""
        now = claim.now_ms()
        body = documents.failure_body(claim.job, error, claim.stage, now - claim.job.accepted_at, now)
        ended = {**increments, **_ended(JobStatus.FAILED, claim.job, now)}
        return self._finish(claim, JobStatus.FAILED, body, StageStatus.FAILED, "", ended, _lines(error.usage))

    def postpone(
        self,
        claim: Claim,
        error: JobError,
        delay_seconds: float,
        increments: Mapping[str, float],
        *,
        failures: int = 1,
    ) -> bool:
        """Give the stage back, to be tried again after the delay by any worker. False: the claim was lost.

        `failures`: how many this counts for against the stage's retry policy.
        """
        delay_ms = int(delay_seconds * 1000)
        counted = json.dumps(increments)
        return self._write("postpone", claim, delay_ms, str(error), failures, counted, _lines(error.usage))

    def hand_back(self, claim: Claim, error: JobError, increments: Mapping[str, float] | None = None) -> bool:
        """Give the stage back unfinished, for any worker to begin at once; it does not count as a failure."""
        return self.postpone(claim, error, 0, increments or {}, failures=0)

    def record_delivery(
        self,
        claim: Claim,
        attempt: DeliveryAttempt,
        status: DeliveryStatus,
        delay_seconds: float,
        increments: Mapping[str, float],
    ) -> bool:
        """Record one POST to the callback URL, and when the next one is due if `status` is pending."""
        line, delay_ms = json.dumps(asdict(attempt)), int(delay_seconds * 1000)
        job = claim.job
        answer = self._call(
            "record_delivery", job.id, job.run, claim.token, line, status, delay_ms, json.dumps(increments)
        )
        return bool(answer)

    # What drives jobs on

    def due(self, now_ms: int, limit: int) -> list[str]:
        """Jobs whose retry or next delivery attempt is due."""
        return self._ids(self.redis.zrangebyscore("coop:due", "-inf", now_ms, start=0, num=limit))

    def expired_leases(self, now_ms: int, limit: int) -> list[str]:
        """Jobs whose worker has not renewed its lease in time."""
        with self.redis.pipeline(transaction=False) as pipeline:
            for stage in STAGES:
                pipeline.zrangebyscore(f"coop:leases:{stage}", "-inf", now_ms, start=0, num=limit)
            return [job_id for page in pipeline.execute() for job_id in self._ids(page)]

    def waiting_before(self, stage: Stage, priority: Priority, before_ms: float, limit: int) -> list[str]:
        """Jobs that have waited for a stage since before that time, the oldest first."""
        key = _waiting_key(stage, priority)
        return self._ids(self.redis.zrangebyscore(key, "-inf", before_ms, start=0, num=limit))

    def have_waited(self, before_ms: float) -> list[tuple[Stage, Priority]]:
        """The places where some job has waited since before that time, in one round trip."""
        places = [(stage, priority) for stage in STAGES for priority in Priority]
        with self.redis.pipeline(transaction=False) as pipeline:
            for place in places:
                pipeline.zcount(_waiting_key(*place), "-inf", before_ms)
            return [place for place, count in zip(places, pipeline.execute(), strict=True) if count]

    def waiting_since(self, stage: Stage, priority: Priority, job_id: str) -> float | None:
        since: float | None = self.redis.zscore(_waiting_key(stage, priority), job_id)
        return since

    def take_over(self, job_id: str, run: int, reason: Reason) -> tuple[int, int] | None:
        """Begin a new run: (run, crashes so far), for which messages are sent next. None: the job has moved on."""
        answer = self._call("take_over", job_id, run, reason)
        return (answer[0], answer[1]) if answer else None

    def abort(self, job: Job, error: JobError) -> bool:
        """End a job over the head of whoever works on it. False: it has ended, or moved on to another run."""
        status = JobStatus.CANCELLED if error.code == "cancelled" else JobStatus.FAILED
        now = self.now_ms()
        body = documents.failure_body(job, error, job.stage, now - job.accepted_at, now)
        increments = json.dumps(_ended(status, job, now))
        return bool(self._call("abort", job.id, job.run, status, body, _message_id(), increments))

    def cancel(self, job_id: str) -> Job:
        """Cancel a job that has not ended. Raises Problem `not_cancellable` or `not_found`."""
        for _ in range(_RACES):
            job = self._existing(job_id)
            if job.status.is_final:
                break
            if self.abort(job, JobError("cancelled")):
                return self._existing(job_id)
        raise Problem("not_cancellable")

    def retry(self, job_id: str) -> Job:
        """Start a failed or cancelled job again where it failed. Raises Problem `not_retryable` or `not_found`."""
        self._existing(job_id)
        if not self._call("restart", job_id):
            raise Problem("not_retryable", "Only a job that failed or was cancelled can be driven again.")
        return self._existing(job_id)

    def redeliver(self, job_id: str) -> Job:
        """Send the outcome again, from the beginning of the time table. Raises Problem `not_retryable`, `not_found`."""
        self._existing(job_id)
        if not self._call("redeliver", job_id):
            raise Problem("not_retryable", "There is no outcome yet, or no callback URL to send it to.")
        return self._existing(job_id)

    def forget(self, limit: int = 500) -> int:
        """Remove records that ended longer ago than the retention; returns how many."""
        older_than = self.now_ms() - int(self._settings.retention_days * 86_400_000)
        return int(self._call("forget", older_than, limit))

    # The fleet

    def announce_worker(self, worker: str, slots: int, busy: int) -> None:
        """Say that a worker (`machine@pid`) lives, and how busy it is."""
        with self.redis.pipeline(transaction=True) as pipeline:
            pipeline.zadd("coop:workers", {worker: self.now_ms()})
            pipeline.hset("coop:slots", worker, f"{slots}:{busy}")
            pipeline.execute()

    def retire_worker(self, worker: str) -> None:
        with self.redis.pipeline(transaction=True) as pipeline:
            pipeline.zrem("coop:workers", worker)
            pipeline.hdel("coop:slots", worker)
            pipeline.execute()

    def retire_silent_workers(self) -> None:
        """Forget workers that went without a word."""
        silent = self.redis.zrangebyscore("coop:workers", "-inf", self.now_ms() - WORKER_ALIVE_SECONDS * 3000)
        for worker in self._ids(silent):
            self.retire_worker(worker)

    def census(self) -> Census:
        """The fleet at this moment, in one round trip beside the clock."""
        now = self.now_ms()
        places = [(stage, priority) for stage in STAGES for priority in Priority]
        with self.redis.pipeline(transaction=False) as pipeline:
            for stage in STAGES:
                pipeline.zcard(f"coop:leases:{stage}")
            for place in places:
                pipeline.zcard(_waiting_key(*place))
                pipeline.zrange(_waiting_key(*place), 0, 0, withscores=True)
            pipeline.zrangebyscore("coop:workers", now - WORKER_ALIVE_SECONDS * 1000, "+inf")
            pipeline.hgetall("coop:slots")
            *answers, alive, slots = pipeline.execute()
        leases, waiting = answers[: len(STAGES)], answers[len(STAGES) :]
        depth = dict.fromkeys(Priority, 0)
        for (_, priority), card in zip(places, waiting[::2], strict=True):
            depth[priority] += card
        oldest = min((first[0][1] for first in waiting[1::2] if first), default=now)
        loads = [tuple(map(int, slots[worker].split(b":"))) for worker in alive if worker in slots]
        return Census(
            in_flight=dict(zip(STAGES, leases, strict=True)),
            queue_depth=depth,
            queue_oldest_seconds=max(0.0, (now - oldest) / 1000),
            machine_names=frozenset(worker.decode().rpartition("@")[0] for worker in alive),
            slots_busy=sum(busy for _, busy in loads),
            slots_free=sum(total - busy for total, busy in loads),
        )

    def check(self) -> list[str]:
        """What is wrong with this Redis for keeping jobs; empty when nothing is."""
        complaints = []
        persistence: dict[str, Any] = self.redis.info("persistence")
        memory: dict[str, Any] = self.redis.info("memory")
        if not persistence.get("aof_enabled"):
            complaints.append("appendonly is off: accepted jobs are lost when Redis stops")
        if memory.get("maxmemory_policy", "noeviction") != "noeviction":
            complaints.append(f"maxmemory-policy is {memory['maxmemory_policy']}: Redis may evict jobs")
        if persistence.get("aof_last_write_status", "ok") != "ok":
            complaints.append("Redis cannot write its append-only file")
        return complaints

    def now_ms(self) -> int:
        return self._clock.ask_ms()

    @contextmanager
    def sole(self, name: str, seconds: float) -> Iterator[bool]:
        """Whether this process is the one in the fleet that does `name` now; the lock ends by itself in time."""
        lock = self.redis.lock(f"coop:sole:{name}", timeout=seconds, blocking=False, thread_local=False)
        if not lock.acquire():
            yield False
            return
        try:
            yield True
        finally:
            # It may have taken longer than `seconds`, and another process have the lock by now.
            with suppress(redis.exceptions.LockError):
                lock.release()

    # Within

    def _call(self, script: str, *arguments: Any) -> Any:
        return self._scripts[script](args=list(arguments))

    def _write(self, script: str, claim: Claim, *arguments: Any) -> bool:
        return bool(self._call(script, claim.job.id, claim.job.run, claim.stage, claim.token, *arguments))

    def _finish(
        self,
        claim: Claim,
        status: JobStatus,
        body: bytes,
        stage_status: StageStatus,
        output: str,
        increments: Mapping[str, float],
        spent: str = "",
    ) -> bool:
        counted = json.dumps(increments)
        return self._write("finish", claim, status, body, _message_id(), stage_status, output, counted, spent)

    def _record(self, job_id: str) -> dict[str, str]:
        return decode(cast(dict[bytes, bytes], self.redis.hgetall(_record_key(job_id))))

    def _existing(self, job_id: str) -> Job:
        job = self.get(job_id)
        if job is None:
            raise Problem("not_found")
        return job

    def _lease_ms(self) -> int:
        return int(self._settings.lease_seconds * 1000)

    @staticmethod
    def _ids(answer: Any) -> list[str]:
        return [member.decode() for member in answer]


_RACES = 5
_PAID = (Stage.TRANSCRIBE, Stage.ANALYZE, Stage.IDEAS)
# The fields of a record that hold what was paid for.
_PRICED = (*(f"found.{stage}" for stage in _PAID), "spent")
_SAME_MILLISECOND = 200


def _sources() -> Iterator[tuple[str, str]]:
    folder = resources.files("coop") / "lua"
    prelude = (folder / "prelude.lua").read_text(encoding="utf-8")
    for file in folder.iterdir():
        if file.name.endswith(".lua") and file.name != "prelude.lua":
            # Redis looks for the declaration in the first line.
            declaration, _, body = file.read_text(encoding="utf-8").partition("\n")
            yield file.name.removesuffix(".lua"), f"{declaration}\n{prelude}\n{body}"


def _record_key(job_id: str) -> str:
    return f"coop:job:{job_id}"


def _waiting_key(stage: Stage, priority: Priority) -> str:
    return f"coop:waiting:{stage}:{priority}"


def _accepted_job(job_id: str, new: NewJob, accepted_at: int) -> Job:
    """What the record of a job that was accepted just now says, without asking for it."""
    return Job(
        id=job_id,
        client=new.client,
        request_id=new.request_id,
        video_url=new.video_url,
        priority=new.priority,
        options=new.options,
        accepted_at=accepted_at,
        delivery=Delivery(url=new.callback_url),
        trace=new.trace,
    )


def _flat(record: Mapping[str, str]) -> list[str]:
    return [part for pair in record.items() for part in pair]


def _lines(usage: Iterable[Usage]) -> str:
    return "".join(item.model_dump_json(by_alias=True) + "\n" for item in usage)


def _message_id() -> str:
    """The `webhook-id` of an outcome: the same on every attempt, and without a full stop, as the standard asks."""
    return f"msg_{secrets.token_hex(16)}"


def _ended(status: JobStatus, job: Job, now_ms: int) -> dict[str, float]:
    seconds = (now_ms - job.began_at) / 1000
    return {**metrics.count("coop_jobs_total", status=status), **metrics.observe("coop_job_duration_seconds", seconds)}


def _read_cursor(cursor: str | None) -> tuple[str, str | None]:
    if cursor is None:
        return "+inf", None
    newest, separator, last_id = cursor.partition("~")
    if not separator or not newest.isdigit():
        raise ValueError("not a cursor of this list")
    return newest, last_id
