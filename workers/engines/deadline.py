"""How long a piece of work may take, and whether anybody still wants it."""

from __future__ import annotations

import threading
import time

from coop.errors import Cancelled, JobError


class Deadline:
    """The end of a stage's time, by the monotonic clock, and the event that cancels it.

    Engines ask `remaining()` for every timeout they set and wait on `cancelled` wherever they wait.
    """

    def __init__(self, seconds: float, cancelled: threading.Event | None = None) -> None:
        self._end = time.monotonic() + seconds
        self.cancelled = cancelled or threading.Event()

    def remaining(self) -> float:
        """Seconds left, always above 0. Raises Cancelled when cancelled, JobError `timed_out` when none are left."""
        if self.cancelled.is_set():
            raise Cancelled
        left = self._end - time.monotonic()
        if left <= 0:
            raise JobError("timed_out")
        return left

    def check(self) -> None:
        """Raise as `remaining()` does when the work should stop."""
        self.remaining()
