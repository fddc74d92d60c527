"""How many requests are taken: of each client at each route, of strangers, and of those who fail to say who they are.

Told in the `RateLimit` headers of the IETF's draft (draft-ietf-httpapi-ratelimit-headers) on every answer.
"""

from __future__ import annotations

import threading
import time
from collections import Counter

import redis

from api.peers import bucket_of
from api.rate_windows import WINDOW_SECONDS, RateWindows, Standing
from api.request import current_request
from coop.clients import Client
from coop.errors import Problem

FAILURES_PER_MINUTE = 20
"""Requests of one address that may fail to authenticate before they are answered with 429. Good ones go on."""

PUBLIC_PER_MINUTE = 6_000
"""Requests of one address to what needs no key, at one gateway."""

_UNREFUSED = frozenset({"health.live", "health.ready"})
"""What a load balancer asks is never refused: a stranger behind the same proxy could take the gateway out with it."""


class Limits:
    """The limits of one gateway."""

    def __init__(self, redis_client: redis.Redis, default_rate: int) -> None:
        self._default_rate = default_rate
        self._strangers = _Strangers()
        self._windows = RateWindows(redis_client)

    def count_client(self, client: Client) -> None:
        """Count a client's request at its route. Raises Problem `rate_limited`."""
        request = current_request()
        standing = self._count("client", client.rate or self._default_rate, client.name, str(request.endpoint))
        request.standing = standing
        if standing.is_passed:
            raise standing.problem()

    def count_stranger(self) -> None:
        """Count a request that no client is known of. Raises Problem `rate_limited`."""
        request = current_request()
        request.standing = standing = self._strangers.count(bucket_of(request.address))
        if standing.is_passed and request.endpoint not in _UNREFUSED:
            raise standing.problem()

    def count_failure(self, reason: Problem) -> Problem:
        """Count a failed authentication. Returns what is to be told: `reason`, or `rate_limited` after too many."""
        request = current_request()
        standing = self._count("failed-authentication", FAILURES_PER_MINUTE, bucket_of(request.address))
        request.standing = standing
        return standing.problem() if standing.is_passed else reason

    def standing(self) -> Standing:
        """Where the present request stands. What nobody has counted yet, such as a body that is too large, counts as a
        stranger's."""
        request = current_request()
        if request.standing is None:
            request.standing = self._strangers.count(bucket_of(request.address))
        return request.standing

    def _count(self, policy: str, amount: int, *who: str) -> Standing:
        number, ends_at = self._windows.count("/".join((policy, *who)), amount)
        return Standing(policy, amount, max(0, amount - number), ends_at, is_passed=number > amount)


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
            left = PUBLIC_PER_MINUTE - self._counts[address]
            return Standing("public", PUBLIC_PER_MINUTE, max(0, left), self._ends_at, is_passed=left < 0)
