"""The watch of a worker process over itself: it says that it lives, and ends the process when it no longer works.

Two ways to be alive and of no use are known: Redis has not answered for a minute (a connection that hangs, a server
that became a replica), or messages wait for free slots and Celery's consumer does not take them. A fresh process, which
the supervisor starts, is the cure for both.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import redis

from coop.jobs import STAGES, Stage
from coop.logs import get_logger
from coop.queue import app, oldest_messages
from workers.process import WorkerProcess

log = get_logger(__name__)

SILENCE_SECONDS = 60.0
"""Without a round trip to Redis for so long the process ends itself."""
DEAF_SECONDS = 20.0
"""So long a message may lie in front of a free slot; Celery, when it is well, takes it at once."""
EXIT_UNWELL = 75

STOPPING_SECONDS = 3.0
"""What a stage is given to stop, before its job is handed back over its head."""

_TICK_SECONDS = 5.0


class Watch:
    """One look is `tick()`; `run()` goes on until `stop` is set. `restart` ends the process."""

    def __init__(self, process: WorkerProcess, slots: int, restart: Callable[[], None]) -> None:
        self._process = process
        self._slots = slots
        self._restart = restart
        self._heard_at = time.monotonic()
        self._seen: dict[str, tuple[bytes, float]] = {}
        self._begun = 0

    def run(self, stop: threading.Event) -> None:
        while True:
            self.tick()
            if stop.wait(_TICK_SECONDS):
                return

    def tick(self) -> None:
        process = self._process
        try:
            process.store.announce_worker(process.name, self._slots, process.leases.busy)
            is_deaf = self._is_deaf()
        except redis.RedisError as error:
            log.warning("Redis does not answer", error=str(error))
            is_deaf = False
        else:
            self._heard_at = time.monotonic()
        if time.monotonic() - self._heard_at > SILENCE_SECONDS:
            log.error("no answer from Redis for too long, starting afresh", seconds=SILENCE_SECONDS)
            self._restart()
        if is_deaf:
            log.error("messages wait and are not taken, starting afresh", seconds=DEAF_SECONDS)
            self._restart()

    def _is_deaf(self) -> bool:
        """Whether a message was the next of its queue all the while that this process had a slot and began nothing."""
        now, begun = time.monotonic(), self._process.leases.begun
        waiting = oldest_messages(self._process.redis, consumed_stages())
        if self._process.leases.busy >= self._slots or begun != self._begun:
            self._seen = {}
        self._begun = begun
        self._seen = {
            name: (message, self._seen[name][1] if self._seen.get(name, (b"", 0.0))[0] == message else now)
            for name, message in waiting.items()
        }
        return any(now - since >= DEAF_SECONDS for _, since in self._seen.values())


def consumed_stages() -> list[Stage]:
    """The stages whose messages this process takes now; an operator may have it take fewer."""
    names = set(app.amqp.queues.consume_from)
    return [stage for stage in STAGES if stage.queue in names]


def hand_back(process: WorkerProcess) -> bool:
    """Have all running stages stop; False when some did not, whose jobs were handed back over their heads."""
    process.leases.stop_all()
    end = time.monotonic() + STOPPING_SECONDS
    while process.leases.busy and time.monotonic() < end:
        time.sleep(0.05)
    if not process.leases.busy:
        return True
    process.leases.hand_back_all()
    return False


def restart(process: WorkerProcess) -> None:
    """End this process for the supervisor to start a fresh one; what runs is handed back, if Redis can be told."""
    # Redis may not answer, and the process must end all the same.
    threading.Thread(target=hand_back, args=(process,), daemon=True).start()
    end = time.monotonic() + 2 * STOPPING_SECONDS
    while process.leases.busy and time.monotonic() < end:
        time.sleep(0.05)
    os._exit(EXIT_UNWELL)
