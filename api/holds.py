"""How many requests may be held open at once, so that held ones leave threads for the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Holds:
    """Of the gateway's threads, three quarters may wait with a `Prefer: wait` or an event stream."""

    def __init__(self, threads: int) -> None:
        self._free = threading.BoundedSemaphore(max(1, threads * 3 // 4))

    def take(self) -> bool:
        """Whether one more request may be held. Whoever was told True gives it back."""
        return self._free.acquire(blocking=False)

    def give_back(self) -> None:
        self._free.release()

    @contextmanager
    def hold(self) -> Iterator[bool]:
        """`take` for the length of a block."""
        taken = self.take()
        try:
            yield taken
        finally:
            if taken:
                self.give_back()
