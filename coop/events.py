"""Waking whoever waits for a change of a job, without asking Redis in a loop.

Each change of a job's record publishes its id on `coop:changes`. One thread per process listens and wakes the watchers.
A message says only "look again": the record is the truth, so a lost or doubled message does no harm beyond its delay.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from coop.logs import get_logger

CHANNEL = "coop:changes"
_POLL_SECONDS = 1.0
_RECONNECT_SECONDS = 0.5

log = get_logger(__name__)


class Watch:
    """Wakes when the watched job may have changed. Belongs to one thread."""

    def __init__(self) -> None:
        self._woken = threading.Event()

    def wake(self) -> None:
        self._woken.set()

    def wait(self, timeout_seconds: float) -> bool:
        """Whether there was a change since the last call; look at the record after it, not before."""
        woken = self._woken.wait(timeout_seconds)
        self._woken.clear()
        return woken


class Changes:
    """The listener of one process. It starts with the first watch and outlives restarts of Redis."""

    def __init__(self, redis_client: redis.Redis) -> None:
        self._redis = redis_client
        self._watches: defaultdict[str, set[Watch]] = defaultdict(set)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, job_id: str) -> Iterator[Watch]:
        """Watch one job. Enter it before the record is read, so that no change falls between."""
        watch = Watch()
        with self._lock:
            self._watches[job_id].add(watch)
            self._start()
        try:
            yield watch
        finally:
            with self._lock:
                self._watches[job_id].discard(watch)
                if not self._watches[job_id]:
                    del self._watches[job_id]

    def stop(self) -> None:
        """End the listener; watchers are woken no more."""
        self._stopping.set()
        if self._thread:
            self._thread.join()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="changes", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except redis.RedisError as error:
                log.warning("lost the channel of changes", error=str(error))
                self._stopping.wait(_RECONNECT_SECONDS)

    def _listen(self) -> None:
        with self._redis.pubsub() as subscription:  # type: ignore[no-untyped-call]  # redis-py left it so
            subscription.subscribe(CHANNEL)
            while not self._stopping.is_set():
                message = subscription.get_message(timeout=_POLL_SECONDS)
                if message:
                    self._hear(message)

    def _hear(self, message: dict[str, object]) -> None:
        # Changes before the subscription began, or while it was away, were not heard: all look again.
        if message["type"] == "subscribe":
            self._wake_all()
        elif isinstance(message["data"], bytes):
            self._wake(message["data"].decode())

    def _wake(self, job_id: str) -> None:
        with self._lock:
            for watch in self._watches.get(job_id, ()):
                watch.wake()

    def _wake_all(self) -> None:
        with self._lock:
            for watches in self._watches.values():
                for watch in watches:
                    watch.wake()
