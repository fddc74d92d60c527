"""The leases this process holds: renewed by one thread, and the work stopped whose lease is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis

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
        self.renewed_at = time.monotonic()

    def lose(self) -> None:
        """The job was cancelled, or a newer run has it: nothing may be written any more."""
        self.is_lost = True
        self.cancelled.set()


class LeaseKeeper:
    """Renews every lease of this process, about once a second in one round trip, which is how it hears of cancels."""

    def __init__(self, store: JobStore, lease_seconds: float) -> None:
        self._store = store
        self._lease_seconds = lease_seconds
        self._tick = min(_TICK_SECONDS, lease_seconds / 3)
        self._leases: dict[str, Lease] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[Lease]:
        """Keep the claim's lease alive for the length of the block."""
        lease = Lease(claim)
        with self._lock:
            self._leases[claim.token] = lease
            self._ensure_thread()
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

    def stop_all(self) -> None:
        """Have every running stage stop and hand its job back; the leases are still held."""
        with self._lock:
            for lease in self._leases.values():
                lease.cancelled.set()

    def _ensure_thread(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            if not self._leases:
                # Nothing runs, so nothing is asked of Redis: an idle worker stays idle.
                self._wake.wait()
            self._wake.clear()
            self._wake.wait(self._tick)
            self._renew()

    def _renew(self) -> None:
        with self._lock:
            leases = list(self._leases.values())
        if not leases:
            return
        asked_at = time.monotonic()
        try:
            lost = self._store.renew([lease.claim for lease in leases])
        except redis.RedisError as error:
            log.warning("leases could not be renewed", leases=len(leases), error=str(error))
            lost = {lease.claim.token for lease in leases if asked_at - lease.renewed_at > self._lease_seconds}
        else:
            for lease in leases:
                lease.renewed_at = asked_at
        for lease in leases:
            # A lease that ended on its own meanwhile (its stage wrote its last word) is no longer in the table.
            if lease.claim.token in lost and lease.claim.token in self._leases:
                log.info("lease lost", job=lease.claim.job.id, run=lease.claim.job.run, stage=lease.claim.stage)
                lease.lose()
