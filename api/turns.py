"""How many threads work on a request at once: a few, though hundreds of them may hold one each.

Python runs one thread at a time. A hundred that all want to run hand each other the interpreter after every answer of
Redis, and each of them takes a hundred times as long; a few at a time, and the others asleep, get all of them done.
"""

from __future__ import annotations

import asyncio

AT_ONCE = 6
"""While one runs the others wait for Redis; more of them only get in each other's way."""

PATIENCE_SECONDS = 0.3
"""A request that had no turn by then goes without: those that have one may be waiting for a Redis that is silent."""


class Turns:
    """The turns of one event loop."""

    def __init__(self, at_once: int = AT_ONCE, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._patience_seconds = patience_seconds

    async def take(self) -> Turn:
        """A turn, once there is one; after a while one that takes nobody else's place."""
        if not self._free.locked():
            await self._free.acquire()
            return Turn(self._free)
        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._free.acquire()
        except TimeoutError:
            return Turn(None)
        return Turn(self._free)


class Turn:
    """One request's turn, which is given back at its end, or when it begins to be held."""

    def __init__(self, free: asyncio.Semaphore | None) -> None:
        self._free = free

    def give_back(self) -> None:
        """Called by the event loop; again does nothing."""
        free, self._free = self._free, None
        if free:
            free.release()
