"""How many requests are taken: of each client at each route, of strangers, and of those who fail to say who they are.

Told in the `RateLimit` headers of the IETF's draft (draft-ietf-httpapi-ratelimit-headers) on every answer.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter

from flask import Flask, g, request
from flask_limiter import Limiter
from limits import RateLimitItemPerMinute

from api.peers import bucket_of
from api.rate_windows import RedisWindows  # noqa: F401  # registers the storage `coop://`
from coop.errors import Problem

FAILURES_PER_MINUTE = 20
"""Requests of one address that may fail to authenticate before they are answered with 429. Good ones go on."""

PUBLIC_PER_MINUTE = 6_000
"""Requests of one address to what needs no key, at one gateway."""

WINDOW_SECONDS = 60
_UNREFUSED = frozenset({"health.live", "health.ready"})
"""What a load balancer asks is never refused: a stranger behind the same proxy could take the gateway out with it."""


class Limits:
    """The limits of one gateway. To be installed between the check of the key and that of the signature."""

    def __init__(self, redis_client: object, default_rate: int) -> None:
        self._default_rate = default_rate
        self._strangers = _Strangers()
        self._failures = RateLimitItemPerMinute(FAILURES_PER_MINUTE, namespace="failed-authentication")
        self._limiter = Limiter(
            key_func=lambda: g.client.name,
            default_limits=[self._rate_of_client],
            default_limits_exempt_when=lambda: "client" not in g,
            storage_uri="coop://",
            storage_options={"client": redis_client},  # type: ignore[dict-item]  # a storage of ours takes what it likes
            strategy="fixed-window",
            swallow_errors=False,
            in_memory_fallback_enabled=False,
        )

    def install(self, app: Flask) -> None:
        """From here on in the order of checks, a client that has passed its rate gets RateLimitExceeded."""
        self._limiter.init_app(app)

    def count_stranger(self) -> None:
        """Count a request that no client is known of. Raises Problem `rate_limited`."""
        g.limit = self._strangers.count(bucket_of(g.address))
        if g.limit.is_passed and request.endpoint not in _UNREFUSED:
            raise g.limit.problem()

    def count_failure(self, reason: Problem) -> Problem:
        """Count a failed authentication. Returns what is to be told: `reason`, or `rate_limited` after too many."""
        key = self._failures.key_for(bucket_of(g.address))
        number = self._limiter.storage.incr(key, WINDOW_SECONDS)
        g.limit = Standing("failed-authentication", FAILURES_PER_MINUTE, number, self._limiter.storage.get_expiry(key))
        return g.limit.problem() if g.limit.is_passed else reason

    def standing(self) -> Standing:
        """Where the present request stands. What nobody has counted yet, such as a body that is too large, counts as a
        stranger's."""
        current = self._limiter.current_limit
        if "limit" not in g and current is None:
            g.limit = self._strangers.count(bucket_of(g.get("address", "")))
        if "limit" in g or current is None:
            counted: Standing = g.limit
            return counted
        number = current.limit.amount - current.remaining + int(current.breached)
        return Standing("client", current.limit.amount, number, current.window.reset_time)

    def _rate_of_client(self) -> str:
        # Also asked where the limit does not hold.
        rate = g.client.rate if "client" in g else None
        return f"{rate or self._default_rate}/minute"


class Standing:
    """One count in its window: the `number`th of `amount`, of a policy by name; `ends_at` in Unix seconds."""

    def __init__(self, policy: str, amount: int, number: int, ends_at: float) -> None:
        self.policy = policy
        self.amount = amount
        self.remaining = max(0, amount - number)
        self.is_passed = number > amount
        self.seconds_left = max(1, math.ceil(ends_at - time.time()))

    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Policy": f'"{self.policy}";q={self.amount};w={WINDOW_SECONDS}',
            "RateLimit": f'"{self.policy}";r={self.remaining};t={self.seconds_left}',
        }

    def problem(self) -> Problem:
        return Problem("rate_limited", f"At most {self.amount} a minute.", retry_after=self.seconds_left)


class _Strangers:
    """A window per address in this process' memory: to look it up elsewhere would cost more than the answer."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._ends_at = 0.0
        self._lock = threading.Lock()

    def count(self, address: str) -> Standing:
        with self._lock:
            now = time.time()
            if now >= self._ends_at:
                self._counts.clear()
                self._ends_at = now + WINDOW_SECONDS
            self._counts[address] += 1
            return Standing("public", PUBLIC_PER_MINUTE, self._counts[address], self._ends_at)
