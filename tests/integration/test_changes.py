from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
import redis

from coop.events import CHANNEL, Changes
from tests.support.fleet import eventually
from tests.support.redis_server import RedisServer


@pytest.fixture
def changes(redis_client: redis.Redis) -> Iterator[Changes]:
    made = Changes(redis_client)
    yield made
    made.stop()


def test_listener_and_job_store_mean_the_same_channel() -> None:
    prelude = (resources.files("coop") / "lua" / "prelude.lua").read_text(encoding="utf-8")

    assert f"'PUBLISH', '{CHANNEL}'" in prelude


def test_a_change_wakes_who_watches_that_job(changes: Changes, redis_client: redis.Redis) -> None:
    with changes.watch("a") as mine, changes.watch("b") as other:
        mine.wait(10), other.wait(10)  # both are woken once, when the subscription begins
        redis_client.publish(CHANNEL, "a")

        assert mine.wait(10)
        assert not other.wait(0)


def test_several_may_watch_one_job(changes: Changes, redis_client: redis.Redis) -> None:
    with changes.watch("a") as first, changes.watch("a") as second:
        first.wait(10), second.wait(10)
        redis_client.publish(CHANNEL, "a")

        assert first.wait(10)
        assert second.wait(10)


def test_nothing_is_kept_of_a_watch_that_ended(changes: Changes) -> None:
    with changes.watch("a"):
        pass

    assert changes._watches == {}


def test_after_redis_was_away_all_look_again_and_hear_again(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, redis.Redis.from_url(server.url, socket_timeout=2) as client:
        changes = Changes(client)
        with changes.watch("a") as watch:
            assert watch.wait(10)
            server.kill()
            server.start()

            assert watch.wait(20)
            eventually(lambda: client.publish(CHANNEL, "a"))
            assert watch.wait(10)
        changes.stop()
