"""Where the library `limits` counts: fixed windows in Redis, for all gateways together.

Its own Redis storage refuses redis-py 8 and asks three times per request (count, count again, end of the window). Here
a count and its window's end come in one round trip, and a high limit is counted in portions of half a per cent: a
gateway takes a portion and deals it out by itself. A limit of up to 200 is exact.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass

import redis
from limits.storage import Storage

_PORTIONS = 200
_TAKE = """
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
if count == tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return {count, redis.call('PTTL', KEYS[1])}
"""


@dataclass
class _Portion:
    """Numbers of one window that this gateway may deal out: the last dealt, the last it has, and when that ends."""

    count: int
    last: int
    ends_at: float


class RedisWindows(Storage):
    """A storage of the library `limits`. Raises redis.RedisError when Redis does not answer: nothing is let through."""

    def __init__(self, redis_client: redis.Redis) -> None:
        super().__init__()
        self._redis = redis_client
        self._take = self._redis.register_script(_TAKE)
        # Several of one key when they ran out for some at the same moment; none is thrown away.
        self._portions: defaultdict[str, list[_Portion]] = defaultdict(list)
        self._taking: set[str] = set()
        self._lock = threading.Lock()
        self._dealt = threading.local()

    @property
    def base_exceptions(self) -> type[Exception]:
        return redis.RedisError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """The number of this request in its window, from 1. `amount` is always 1 here."""
        with self._lock:
            count = self._deal(key)
            # One takes a portion at a time. Who comes meanwhile takes a single number: a hundred portions for a hundred
            # requests that came at once would be the whole window.
            is_first = count is None and key not in self._taking
            if is_first:
                self._taking.add(key)
        if count is None:
            size = max(1, limit_of(key) // _PORTIONS) if is_first else 1
            try:
                last, milliseconds_left = self._take(keys=[_redis_key(key)], args=[size, expiry])
            finally:
                if is_first:
                    self._taking.discard(key)
            with self._lock:
                self._forget_ended()
                count = int(last) - size + 1
                ends_at = time.time() + milliseconds_left / 1000
                self._dealt.key, self._dealt.count, self._dealt.ends_at = key, count, ends_at
                if size > 1:
                    self._portions[key].append(_Portion(count, int(last), ends_at))
        return count

    def get(self, key: str) -> int:
        """How many there were, when one of them was just counted here: nothing may wait for Redis in between."""
        return self._dealt.count if getattr(self._dealt, "key", None) == key else 0

    def get_expiry(self, key: str) -> float:
        """When the window ends, in Unix seconds."""
        return self._dealt.ends_at if getattr(self._dealt, "key", None) == key else time.time()

    def check(self) -> bool:
        return bool(self._redis.ping())

    def reset(self) -> int | None:
        """Forget what this gateway could still deal out; the windows in Redis end by themselves."""
        with self._lock:
            self._portions.clear()
        return None

    def clear(self, key: str) -> None:
        with self._lock:
            self._portions.pop(key, None)
        self._redis.delete(_redis_key(key))

    def _deal(self, key: str) -> int | None:
        portions, now = self._portions.get(key, []), time.time()
        while portions:
            portion = portions[-1]
            if portion.count < portion.last and now < portion.ends_at:
                portion.count += 1
                self._dealt.key, self._dealt.count, self._dealt.ends_at = key, portion.count, portion.ends_at
                return portion.count
            portions.pop()
        return None

    def _forget_ended(self) -> None:
        if len(self._portions) > _MANY:
            now = time.time()
            ended = [key for key, kept in self._portions.items() if all(each.ends_at <= now for each in kept)]
            for key in ended:
                del self._portions[key]


_MANY = 10_000


def limit_of(key: str) -> int:
    """The limit that a key of the library is about: `…/AMOUNT/MULTIPLES/minute`."""
    return int(key.rsplit("/", 3)[1])


def _redis_key(key: str) -> str:
    return f"coop:rate:{key}"
