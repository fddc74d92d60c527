"""Redis' clock, by which all times of a fleet are told."""

from __future__ import annotations

import time

import redis

_KEPT_SECONDS = 10.0
# An answer that took longer says too little of what the clock shows by now.
_QUICK_SECONDS = 0.1


class RedisClock:
    """Asked for the time, or reckoned from an answer of the last seconds, which spares a round trip."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._heard: tuple[float, int] | None = None

    def ask_ms(self) -> int:
        """Unix milliseconds. Raises redis.RedisError."""
        asked = time.monotonic()
        seconds, micros = self._redis_time()
        answer = seconds * 1000 + micros // 1000
        heard = time.monotonic()
        if heard - asked < _QUICK_SECONDS:
            self._heard = (heard, answer)
        return answer

    def now_ms(self) -> int:
        """As `ask_ms`, or up to a tenth of a second behind it, never ahead. Raises redis.RedisError."""
        known = self._heard
        if known is None or (elapsed := time.monotonic() - known[0]) > _KEPT_SECONDS:
            return self.ask_ms()
        return known[1] + int(elapsed * 1000)

    def _redis_time(self) -> tuple[int, int]:
        seconds, micros = self._redis.time()
        return int(seconds), int(micros)
