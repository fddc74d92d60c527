"""How long to wait before trying again."""

from __future__ import annotations

import email.utils
import random
import re
import time
from dataclasses import dataclass
from datetime import UTC

# Of the contract, section 4: after the first attempt of a callback, in seconds.
DELIVERY_DELAYS_SECONDS = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 28800)
_DELIVERY_JITTER = 0.1

# Whoever asks for more says "not today": it is asked again tomorrow.
MOST_RETRY_AFTER_SECONDS = 24 * 3600.0
# Of HTTP, whole seconds; the servers of models send fractions too.
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")

# Jitter picks waiting times, not secrets.
_random = random.Random()  # noqa: S311  # jitter is no secret


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


def retry_after_seconds(header: str | None, now: float | None = None) -> float | None:
    """The seconds to wait that a Retry-After header asks for, as a number or a date: from 0 to a day.

    None for none and for nonsense. `now`: Unix seconds; this machine's clock when left out.
    """
    value = (header or "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), MOST_RETRY_AFTER_SECONDS)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    # HTTP's dates are of Greenwich, and a zone that is not told would be taken for the local one.
    at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return min(max(0.0, at - (time.time() if now is None else now)), MOST_RETRY_AFTER_SECONDS)
