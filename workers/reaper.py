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

from coop.errors import JobError
from coop.job_store import JobStore, Reason
from coop.jobs import STAGES, Priority, Stage
from coop.logs import get_logger
from coop.queue import enqueue_or_leave, oldest_message

log = get_logger(__name__)

MAX_CRASHES = 3
"""A job whose worker died so often while it ran is failed: it is probably what kills them."""

_TICK_SECONDS = 1.0
_LOST_EVERY_SECONDS = 5.0
_FORGET_EVERY_SECONDS = 60.0
# Short, for a process that dies at it must not keep the others from it; two at it at once do no harm.
_LOCK_SECONDS = 4.0
_BATCH = 200


class Reaper:
    """One round is `tick()`; `run()` goes on until `stop` is set."""

    def __init__(self, store: JobStore, lease_seconds: float) -> None:
        self._store = store
        # A message on its way is not lost: a worker may just have popped it.
        self._grace_ms = min(lease_seconds, 15.0) * 1000
        self._next_lost = self._next_forget = 0.0

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(_TICK_SECONDS):
            try:
                self.tick()
            except redis.RedisError as error:
                log.warning("the reaper cannot reach Redis", error=str(error))

    def tick(self) -> None:
        """Drive on what is due now. Raises redis.RedisError."""
        with self._store.sole("reaper", _LOCK_SECONDS) as is_mine:
            if not is_mine:
                return
            now = self._store.now_ms()
            for job_id in self._store.due(now, _BATCH):
                self._take_over(job_id, "due")
            for job_id in self._store.expired_leases(now, _BATCH):
                self._take_over(job_id, "crashed")
            if self._is_time("_next_lost", _LOST_EVERY_SECONDS):
                self._find_lost(now)
            if self._is_time("_next_forget", _FORGET_EVERY_SECONDS):
                self._store.retire_silent_workers()
                self._store.forget()

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
        if crashes >= MAX_CRASHES:
            self._condemn(job_id)
        enqueue_or_leave(self._store, job_id)

    def _condemn(self, job_id: str) -> None:
        job = self._store.get(job_id)
        if job:
            message = f"The worker died {MAX_CRASHES} times in the stage {job.stage}."
            self._store.abort(job, JobError("internal", message, passing=False))

    def _find_lost(self, now_ms: int) -> None:
        for stage in STAGES:
            for priority in Priority:
                for job_id in self._lost(stage, priority, now_ms):
                    self._take_over(job_id, "lost")

    def _lost(self, stage: Stage, priority: Priority, now_ms: int) -> list[str]:
        """Jobs that wait at a stage without a message.

        Messages leave a queue in the order they came, so a job that has waited for longer than the one whose message
        is now the oldest has none; behind a backlog of any length this asks for one message only.
        """
        before = now_ms - self._grace_ms
        if not self._store.waiting_before(stage, priority, before, 1):
            return []
        oldest = oldest_message(self._store.redis, stage, priority)
        if oldest is not None:
            since = self._store.waiting_since(stage, priority, oldest)
            # The oldest message may be stale, of a job that waits no more: it says nothing, and a worker drops it.
            if since is None:
                return []
            before = min(before, since - self._grace_ms)
        return self._store.waiting_before(stage, priority, before, _BATCH)
