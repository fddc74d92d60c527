"""The reaper: drives on the jobs that nobody works on. It runs in every worker, and in one of them at a time.

- *due*: a retry or a later delivery attempt whose time has come;
- *crashed*: a running stage whose lease has ended, so its worker is gone;
- *lost*: a waiting job without a message: the process died between the record and the message, or the broker lost it.

Each goes on in a new run, which fences off whoever held the old one.
"""

from __future__ import annotations

import threading
import time

import redis

from coop import backoff
from coop.errors import JobError
from coop.job_store import Claim, JobStore, Reason
from coop.jobs import DeliveryAttempt, DeliveryStatus, Job, Priority, Stage
from coop.logs import get_logger
from coop.queue import enqueue_or_leave, oldest_message
from coop.settings import Settings
from workers import workspaces

log = get_logger(__name__)

MAX_CRASHES = 3
"""A job whose worker died so often in one stage is failed: it is probably what kills them."""

_TICK_SECONDS = 1.0
_LOST_EVERY_SECONDS = 2.0
_TIDY_EVERY_SECONDS = 60.0
# Short, for a process that dies at it must not keep the others from it; two at it at once do no harm.
_LOCK_SECONDS = 4.0
_BATCH = 200
# After Redis was away, so long for live workers to renew the leases that ended meanwhile.
_SETTLE_SECONDS = 3.0


class Reaper:
    """One round is `tick()`; `run()` goes on until `stop` is set."""

    def __init__(self, store: JobStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        # A message on its way is not lost: a worker may just have popped it.
        self._grace_ms = min(settings.lease_seconds, 15.0) * 1000
        self._max_age_ms = settings.job_max_age_seconds * 1000
        self._answered_at = self._steady_since = time.monotonic()
        self._next_lost = self._next_tidy = 0.0

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(_TICK_SECONDS):
            try:
                self.tick()
            except redis.RedisError as error:
                log.warning("the reaper cannot reach Redis", error=str(error))

    def tick(self) -> None:
        """Drive on what is due now. Raises redis.RedisError."""
        with self._store.sole("reaper", _LOCK_SECONDS) as is_mine:
            now = self._store.now_ms()
            is_steady = self._is_steady()
            if is_mine:
                self._drive_on(now, is_steady)
        if self._is_time("_next_tidy", _TIDY_EVERY_SECONDS):
            workspaces.sweep(self._settings.data_dir)
            self._store.retire_silent_workers()
            self._store.forget()

    def _drive_on(self, now_ms: int, is_steady: bool) -> None:
        for job_id in self._store.due(now_ms, _BATCH):
            self._take_over(job_id, "due")
        if is_steady:
            for job_id in self._store.expired_leases(now_ms, _BATCH):
                self._take_over(job_id, "crashed")
        if self._is_time("_next_lost", _LOST_EVERY_SECONDS):
            for stage, priority in self._store.have_waited(now_ms - self._grace_ms):
                self._find_lost(stage, priority, now_ms)

    def _is_steady(self) -> bool:
        """Whether Redis has answered for a while: a lease that ended because it was away is not its worker's fault."""
        now = time.monotonic()
        if now - self._answered_at > _SETTLE_SECONDS:
            self._steady_since = now
        self._answered_at = now
        return now - self._steady_since >= min(_SETTLE_SECONDS, self._settings.lease_seconds)

    def _is_time(self, name: str, every_seconds: float) -> bool:
        now = time.monotonic()
        if now < getattr(self, name):
            return False
        setattr(self, name, now + every_seconds)
        return True

    def _take_over(self, job_id: str, reason: Reason) -> None:
        job = self._store.get(job_id)
        taken = job and self._store.take_over(job_id, job.run, reason)
        if not taken:
            return
        run, crashes = taken
        log.info("a job goes on in a new run", job=job_id, run=run, reason=reason, crashes=crashes)
        if reason == "crashed" and crashes >= MAX_CRASHES:
            self._condemn(job_id)
        enqueue_or_leave(self._store, job_id)

    def _condemn(self, job_id: str) -> None:
        job = self._store.get(job_id)
        if job is None:
            return
        if job.stage is Stage.DELIVER:
            self._put_off_delivery(job)
            return
        message = f"The worker died {MAX_CRASHES} times in the stage {job.stage}."
        self._store.abort(job, JobError("internal", message, passing=False))

    def _put_off_delivery(self, job: Job) -> None:
        """Count workers that died over a delivery as a failed attempt; the time table goes on."""
        claim = self._store.claim(job.id, job.run, Stage.DELIVER, "reaper")
        if not isinstance(claim, Claim):
            return
        attempt = DeliveryAttempt(claim.redis_ms, None, f"the worker died {MAX_CRASHES} times", 0)
        delay = backoff.delivery_delay_seconds(claim.delivery_tries + 1)
        status = DeliveryStatus.EXHAUSTED if delay is None else DeliveryStatus.PENDING
        self._store.record_delivery(claim, attempt, status, delay or 0, {})

    def _find_lost(self, stage: Stage, priority: Priority, now_ms: int) -> None:
        """Drive on the jobs that wait at a stage without a message, and end those that waited for too long.

        Messages leave a queue in the order they came, so a job that has waited for longer than the one whose message
        is now the oldest has none; behind a backlog of any length this asks for one message only.
        """
        if stage is not Stage.DELIVER:
            for job_id in self._store.waiting_before(stage, priority, now_ms - self._max_age_ms, _BATCH):
                self._expire(job_id)
        before = now_ms - self._grace_ms
        oldest = oldest_message(self._store.redis, stage, priority)
        if oldest is not None:
            since = self._waits_since(stage, priority, *oldest)
            if since is None:
                return
            before = min(before, since - self._grace_ms)
        for job_id in self._store.waiting_before(stage, priority, before, _BATCH):
            self._take_over(job_id, "lost")

    def _waits_since(self, stage: Stage, priority: Priority, job_id: str, run: int) -> float | None:
        """None for a stale message, of an older run or a job that waits no more: it says nothing, a worker drops it."""
        job = self._store.get(job_id)
        return self._store.waiting_since(stage, priority, job_id) if job and job.run == run else None

    def _expire(self, job_id: str) -> None:
        job = self._store.get(job_id)
        if job and self._store.abort(job, JobError("timed_out", "The job waited for too long.", passing=False)):
            log.warning("a job waited for too long", job=job_id, stage=job.stage)
            enqueue_or_leave(self._store, job_id)
