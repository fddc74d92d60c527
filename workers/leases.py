"""The leases this process holds: renewed by one thread, and the work stopped whose lease is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from coop.errors import JobError
from coop.job_store import Claim, JobStore
from coop.logs import get_logger

log = get_logger(__name__)

_TICK_SECONDS = 1.0


class Lease:
    """One claim while its stage runs. `cancelled` is set when the work should stop."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.cancelled = threading.Event()
        self.is_lost = False

    def lose(self) -> None:
        """The job was cancelled, or a newer run has it: nothing may be written any more."""
        self.is_lost = True
        self.cancelled.set()


class LeaseKeeper:
    """Renews every lease of this process, about once a second in one round trip, which is how it hears of cancels.

    While Redis does not answer, work goes on: whether the lease still held is Redis' to say, at the next renewal or at
    the write.
    """

    def __init__(self, store: JobStore, lease_seconds: float) -> None:
        self._store = store
        self._tick = min(_TICK_SECONDS, lease_seconds / 3)
        self._leases: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_stopping = False
        self.begun = 0
        """How many stages this process has begun."""

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[Lease]:
        """Keep the claim's lease alive for the length of the block."""
        lease = Lease(claim)
        with self._lock:
            self._leases[claim.token] = lease
            self.begun += 1
            self._ensure_thread()
            if self._is_stopping:
                lease.cancelled.set()
        self._wake.set()
        try:
            yield lease
        finally:
            with self._lock:
                del self._leases[claim.token]

    @property
    def busy(self) -> int:
        """How many stages run in this process."""
        return len(self._leases)

    def is_held(self, lease: Lease) -> bool:
        """Ask Redis now, and prolong the lease if so. Raises redis.RedisError."""
        if self._store.renew([lease.claim]):
            lease.lose()
        return not lease.is_lost

    def stop_all(self) -> None:
        """Have every running stage stop and hand its job back, also those that begin from now on."""
        with self._lock:
            self._is_stopping = True
            for lease in self._leases.values():
                lease.cancelled.set()

    def hand_back_all(self) -> None:
        """Give the jobs back whose stages do not stop; what they still do counts for nothing."""
        for lease in self._held():
            lease.lose()
            try:
                self._store.hand_back(lease.claim, JobError("internal", "The worker was shut down."))
            except redis.RedisError as error:
                log.warning("a lease is left to end by itself", job=lease.claim.job.id, error=str(error))

    def _held(self) -> list[Lease]:
        with self._lock:
            return list(self._leases.values())

    def _ensure_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            # While nothing runs nothing is asked of Redis: an idle worker stays idle.
            self._wake.wait()
            time.sleep(self._tick)
            self._wake.clear()
            self._renew()

    def _renew(self) -> None:
        leases = self._held()
        if not leases:
            return
        self._wake.set()
        try:
            lost = self._store.renew([lease.claim for lease in leases])
        except redis.RedisError as error:
            log.warning("leases could not be renewed", leases=len(leases), error=str(error))
            return
        for lease in leases:
            # A lease that ended on its own meanwhile (its stage wrote its last word) is no longer in the table.
            if lease.claim.token in lost and lease.claim.token in self._leases:
                log.info("lease lost", job=lease.claim.job.id, run=lease.claim.job.run, stage=lease.claim.stage)
                lease.lose()
