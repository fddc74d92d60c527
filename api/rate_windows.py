"""Fixed windows of a minute, counted in Redis for all gateways together.

A count and its window's end come in one round trip, and a high limit is counted in portions of half a per cent: a
gateway takes a portion and deals it out by itself. A limit of up to 200 is exact.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from dataclasses import dataclass

import redis

from coop.errors import Problem

WINDOW_SECONDS = 60
_PORTIONS = 200
# Windows that are remembered before those that have ended are looked for, which takes a millisecond.
_MANY = 10_000
_TAKE = """
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
if count == tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return {count, redis.call('PTTL', KEYS[1])}
"""


@dataclass
class _Portion:
    """Numbers of one window that this gateway may deal out: the last dealt, the last it has, and when that ends."""

    number: int
    last: int
    ends_at: float


class Standing:
    """One count in its window, of `amount` by a policy's name; `ends_at` in Unix seconds."""

    def __init__(self, policy: str, amount: int, remaining: int, ends_at: float, is_passed: bool) -> None:
        self.policy = policy
        self.amount = amount
        self.remaining = remaining
        self.is_passed = is_passed
        self.seconds_left = max(1, math.ceil(ends_at - time.time()))

    def headers(self) -> tuple[tuple[str, str], ...]:
        return (
            ("RateLimit-Policy", f'"{self.policy}";q={self.amount};w={WINDOW_SECONDS}'),
            ("RateLimit", f'"{self.policy}";r={self.remaining};t={self.seconds_left}'),
        )

    def problem(self) -> Problem:
        return Problem("rate_limited", f"At most {self.amount} a minute.", retry_after=self.seconds_left)


class RateWindows:
    """The counts of one gateway. Raises redis.RedisError when Redis does not answer: nothing is let through."""

    def __init__(self, redis_client: redis.Redis) -> None:
        self._take = redis_client.register_script(_TAKE)
        # Several of one key when they ran out for some at the same moment; none is thrown away.
        self._portions: defaultdict[str, list[_Portion]] = defaultdict(list)
        self._taking: set[str] = set()
        self._lock = threading.Lock()

    def count(self, who: str, limit: int) -> tuple[int, float]:
        """The number of this request in the window of `who`, from 1, and when that ends, in Unix seconds.

        Another `limit` is another window.
        """
        key = f"coop:rate:{who}/{limit}"
        with self._lock:
            dealt = self._deal(key)
            if dealt:
                return dealt
            # One takes a portion at a time. Who comes meanwhile takes a single number: a hundred portions for a hundred
            # requests that came at once would be the whole window.
            is_first = key not in self._taking
            self._taking.add(key)
        size = max(1, limit // _PORTIONS) if is_first else 1
        portion = None
        try:
            last, milliseconds_left = self._take(keys=[key], args=[size, WINDOW_SECONDS])
            portion = _Portion(int(last) - size + 1, int(last), time.time() + milliseconds_left / 1000)
            return portion.number, portion.ends_at
        finally:
            with self._lock:
                if is_first:
                    self._taking.discard(key)
                if portion and size > 1:
                    self._forget_ended()
                    self._portions[key].append(portion)

    def _deal(self, key: str) -> tuple[int, float] | None:
        portions, now = self._portions.get(key), time.time()
        while portions:
            portion = portions[-1]
            if portion.number < portion.last and now < portion.ends_at:
                portion.number += 1
                return portion.number, portion.ends_at
            portions.pop()
        return None

    def _forget_ended(self) -> None:
        if len(self._portions) > _MANY:
            now = time.time()
            ended = [key for key, kept in self._portions.items() if all(each.ends_at <= now for each in kept)]
            for key in ended:
                del self._portions[key]
