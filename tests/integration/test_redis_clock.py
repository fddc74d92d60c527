"""Redis' clock is asked once and reckoned from then on, and never ahead of itself."""

from __future__ import annotations

import pytest
import redis

from coop import redis_clock
from coop.redis_clock import RedisClock


def asked(client: redis.Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_time", {}).get("calls", 0))


def test_the_time_is_asked_for_once_and_reckoned_then(redis_client: redis.Redis) -> None:
    redis_client.config_resetstat()
    clock = RedisClock(redis_client)

    times = [clock.now_ms() for _ in range(20)]

    assert asked(redis_client) == 1
    assert times == sorted(times)
    assert 0 <= clock.ask_ms() - times[-1] < 1000


def test_an_answer_that_took_long_is_not_reckoned_from(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_clock, "_QUICK_SECONDS", 0)
    redis_client.config_resetstat()
    clock = RedisClock(redis_client)

    clock.now_ms()
    clock.now_ms()

    assert asked(redis_client) == 2
