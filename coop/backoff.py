"""How long to wait before trying again."""

from __future__ import annotations

import random
from dataclasses import dataclass

# Of the contract, section 4: after the first attempt of a callback, in seconds.
DELIVERY_DELAYS_SECONDS = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 28800)
_DELIVERY_JITTER = 0.1

# Jitter picks waiting times, not secrets.
_random = random.Random()  # noqa: S311


@dataclass(frozen=True)
class RetryPolicy:
    """At most `attempts` tries; before the next one a wait that doubles from `first_seconds` to `most_seconds`."""

    attempts: int
    first_seconds: float
    most_seconds: float

    def delay_seconds(self, failures: int, retry_after: float | None = None) -> float | None:
        """The wait after the `failures`th failure; None when no attempt is left.

        Between half the wait and the whole of it, so that what failed together does not come back together; never
        before `retry_after`.
        """
        if failures >= self.attempts:
            return None
        wait = min(self.most_seconds, self.first_seconds * 2.0 ** (failures - 1))
        return max(wait * _random.uniform(0.5, 1.0), retry_after or 0)


def delivery_delay_seconds(tries: int, retry_after: float | None = None) -> float | None:
    """The wait after the `tries`th attempt of a callback; None when the time table has ended."""
    if tries > len(DELIVERY_DELAYS_SECONDS):
        return None
    wait = DELIVERY_DELAYS_SECONDS[tries - 1]
    return max(wait * _random.uniform(1 - _DELIVERY_JITTER, 1 + _DELIVERY_JITTER), retry_after or 0)
