"""Requests on the event loop share one way to Redis, and none of them pays for another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from api.greenlets import run_view
from api.shared_redis import Lane, SharedRedis
from coop.redis_client import FAST_TIMEOUT_SECONDS, connect_fast_as, connect_fast_async
from coop.sdk import CoopError
from tests.support.gateway import VIDEO, served_on
from tests.support.jobs import settings_of
from tests.support.redis_server import RedisServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as started:
        yield started


class _Counted(Lane):
    """A lane that notes how many commands went together."""

    batches: list[int]

    async def _sent(self, commands: list[bytes]) -> list[Any]:
        self.batches.append(len(commands))
        return await super()._sent(commands)


def asked(server: RedisServer, *views: Callable[[SharedRedis], Any]) -> tuple[list[Any], list[int]]:
    """What the views return or raise, all at once on one event loop, and the sizes of the batches."""

    async def scene() -> tuple[list[Any], list[int]]:
        settings = settings_of(server.url)
        with connect_fast_as(SharedRedis, settings) as client:
            lane = client.lane = _Counted(partial(connect_fast_async, settings))
            lane.batches = []
            answers = await asyncio.gather(*(run_view(view, client) for view in views), return_exceptions=True)
            await lane.close()
            return list(answers), lane.batches

    return asyncio.run(scene())


def test_what_is_asked_at_once_goes_together(server: RedisServer) -> None:
    def ask(number: int, client: SharedRedis) -> int:
        client.set(f"k{number}", number)
        return int(client.get(f"k{number}") or -1)

    answers, batches = asked(server, *(partial(ask, number) for number in range(50)))

    assert answers == list(range(50))
    assert batches == [50, 50]


def test_a_command_that_fails_fails_alone(server: RedisServer) -> None:
    def wrong(client: SharedRedis) -> Any:
        client.set("text", "x")
        return client.lpush("text", "y")

    answers, _ = asked(server, wrong, lambda client: client.ping(), lambda client: client.incr("n"))

    assert isinstance(answers[0], redis.ResponseError)
    assert answers[1:] == [True, 1]


def test_scripts_and_pipelines_go_the_same_way(server: RedisServer) -> None:
    def script(client: SharedRedis) -> Any:
        run = client.register_script("return ARGV[1]")
        client.script_flush()
        return run(args=["said"])

    def pipeline(client: SharedRedis) -> Any:
        with client.pipeline(transaction=False) as commands:
            commands.set("a", 1)
            commands.hgetall("nothing")
            return commands.execute()

    def failing_pipeline(client: SharedRedis) -> Any:
        with client.pipeline(transaction=False) as commands:
            commands.set("b", "x")
            commands.lpush("b", "y")
            return commands.execute()

    def transaction(client: SharedRedis) -> Any:
        with client.pipeline() as commands:
            commands.set("c", 1)
            commands.incr("c")
            return commands.execute()

    answers, _ = asked(server, script, pipeline, failing_pipeline, transaction)

    assert answers[0] == b"said"
    assert answers[1] == [True, {}]
    assert isinstance(answers[2], redis.ResponseError)
    assert answers[3] == [True, 2]


def test_a_request_that_is_given_up_takes_no_answer_from_others(server: RedisServer) -> None:
    async def scene() -> Any:
        settings = settings_of(server.url)
        with connect_fast_as(SharedRedis, settings) as client:
            lane = client.lane = Lane(partial(connect_fast_async, settings))
            given_up = asyncio.create_task(run_view(client.get, "a"))
            other = asyncio.create_task(run_view(client.ping))
            await asyncio.sleep(0)
            given_up.cancel()
            found = await other
            again = await run_view(client.echo, "still in step")
            await lane.close()
            return found, again

    assert asyncio.run(scene()) == (True, b"still in step")


def test_a_restarted_redis_is_found_again(server: RedisServer) -> None:
    def across(client: SharedRedis) -> Any:
        client.ping()
        server.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        return client.ping()

    assert asked(server, across)[0] == [True]


def test_nobody_waits_behind_those_who_wait_for_a_frozen_redis(server: RedisServer) -> None:
    async def scene() -> tuple[list[Any], float]:
        settings = settings_of(server.url)
        with connect_fast_as(SharedRedis, settings) as client:
            lane = client.lane = Lane(partial(connect_fast_async, settings))
            await run_view(client.ping)
            server.pause()
            began = time.monotonic()
            first = asyncio.create_task(run_view(client.ping))
            await asyncio.sleep(0)
            while lane._waiting:  # it is not on its way yet
                await asyncio.sleep(0)
            others = [asyncio.create_task(run_view(client.ping)) for _ in range(3)]
            answers = await asyncio.gather(first, *others, return_exceptions=True)
            took = time.monotonic() - began
            server.resume()
            await lane.close()
            return list(answers), took

    answers, took = asyncio.run(scene())

    assert [type(answer) for answer in answers] == [redis.TimeoutError] * 4
    assert took < 2 * FAST_TIMEOUT_SECONDS


def test_many_callers_of_a_redis_that_is_away_are_told_so_and_then_served(server: RedisServer, tmp_path: Path) -> None:
    with served_on(server.url, tmp_path) as served, ThreadPoolExecutor(30) as threads:
        served.client.submit(VIDEO, request_id="before")
        server.kill()
        refused = list(threads.map(partial(_code_of_submit, served.client), range(30)))
        server.start()
        taken = list(threads.map(partial(_code_of_submit, served.client), range(30)))

    assert refused == ["unavailable"] * 30
    assert taken == ["accepted"] * 30


def _code_of_submit(client: Any, number: int) -> str:
    try:
        client.submit(VIDEO, request_id=f"r{number}")
    except CoopError as error:
        return str(error.code)
    return "accepted"
