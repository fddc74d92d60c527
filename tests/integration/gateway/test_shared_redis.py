"""Requests on the event loop share one way to Redis, and none of them pays for another."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis
import requests

from api.greenlets import run_view
from api.rate_windows import RateWindows
from api.shared_redis import Batch, Lane, SharedRedis
from coop.redis_client import FAST_TIMEOUT_SECONDS, connect_fast_as, connect_fast_async
from coop.sdk import CoopError
from coop.settings import SettingsError
from tests.support.gateway import VIDEO, served_on
from tests.support.jobs import settings_of
from tests.support.redis_server import RedisServer, Sentinel
from tests.support.tcp_proxy import TcpProxy

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as started:
        yield started


class _Counted(Lane):
    """A lane that notes how many commands went together."""

    batches: list[int]

    async def _sent(self, batch: Batch, end: float) -> None:
        self.batches.append(len(batch))
        await super()._sent(batch, end)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, T]], T]:
    """`asyncio.run`, and uvloop's where it is: they differ in what they raise."""
    if request.param == "asyncio":
        return asyncio.run
    run_on_uvloop: Callable[[Coroutine[Any, Any, T]], T] = pytest.importorskip("uvloop").run
    return run_on_uvloop


@asynccontextmanager
async def shared(url: str) -> AsyncIterator[tuple[SharedRedis, _Counted]]:
    """A client with a lane, to be used by views on the present loop."""
    settings = settings_of(url)
    with connect_fast_as(SharedRedis, settings) as client:
        lane = client.lane = _Counted(partial(connect_fast_async, settings))
        lane.batches = []
        try:
            yield client, lane
        finally:
            await lane.close()


async def asked(url: str, *views: Callable[[SharedRedis], Any]) -> tuple[list[Any], list[int]]:
    """What the views return or raise, all at once, and the sizes of the batches."""
    async with shared(url) as (client, lane):
        answers = await asyncio.gather(*(run_view(view, client) for view in views), return_exceptions=True)
        return list(answers), lane.batches


def test_what_is_asked_at_once_goes_together(server: RedisServer, run: Run) -> None:
    def ask(number: int, client: SharedRedis) -> int:
        client.set(f"k{number}", number)
        return int(client.get(f"k{number}") or -1)

    answers, batches = run(asked(server.url, *(partial(ask, number) for number in range(50))))

    assert answers == list(range(50))
    assert batches == [50, 50]


def test_a_command_that_fails_fails_alone(server: RedisServer, run: Run) -> None:
    def wrong(client: SharedRedis) -> Any:
        client.set("text", "x")
        return client.lpush("text", "y")

    answers, _ = run(asked(server.url, wrong, lambda client: client.ping(), lambda client: client.incr("n")))

    assert isinstance(answers[0], redis.ResponseError)
    assert answers[1:] == [True, 1]


def test_scripts_go_the_same_way_and_pipelines_are_refused(server: RedisServer, run: Run) -> None:
    def script(client: SharedRedis) -> Any:
        run = client.register_script("return ARGV[1]")
        client.script_flush()
        return run(args=["said"])

    answers, batches = run(asked(server.url, script, lambda client: client.pipeline(transaction=False)))

    assert answers[0] == b"said"
    assert batches == [1, 1, 1, 1]  # the flush, the script that is gone, the script itself, and its call
    assert isinstance(answers[1], RuntimeError)  # it would hold the event loop up, on a connection of its own


def test_what_only_reads_is_asked_once_for_all_who_ask_the_same(server: RedisServer, run: Run) -> None:
    def ask(client: SharedRedis) -> Any:
        return client.register_script("#!lua flags=no-writes\nreturn redis.call('GET', 'k')")()

    def count(client: SharedRedis) -> Any:
        return client.register_script("#!lua\nreturn redis.call('INCR', 'n')")()

    answers, batches = run(asked(server.url, *[ask] * 5, *[count] * 5))

    assert answers == [None] * 5 + [1, 2, 3, 4, 5]
    assert batches == [6, 10, 6]  # one for all readers, and five; between them Redis learns the scripts


def test_a_request_that_is_given_up_takes_no_answer_from_others(server: RedisServer, run: Run) -> None:
    async def scene() -> Any:
        async with shared(server.url) as (client, _):
            given_up = asyncio.create_task(run_view(client.get, "a"))
            other = asyncio.create_task(run_view(client.ping))
            await asyncio.sleep(0)
            given_up.cancel()
            return await other, await run_view(client.echo, "still in step")

    assert run(scene()) == (True, b"still in step")


def test_a_restarted_redis_is_found_again(server: RedisServer, run: Run) -> None:
    def across(client: SharedRedis) -> Any:
        client.ping()
        server.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        return client.ping()

    assert run(asked(server.url, across))[0] == [True]


def test_a_connection_that_was_reset_is_replaced_without_a_word(server: RedisServer, run: Run) -> None:
    with TcpProxy(server.port) as proxy:

        def across(client: SharedRedis) -> Any:
            client.ping()
            proxy.reset()
            return [client.ping() for _ in range(3)]

        assert run(asked(f"redis://127.0.0.1:{proxy.port}/0", across))[0] == [[True] * 3]


def test_what_keeps_the_lane_from_connecting_is_told_as_redis_being_away(run: Run) -> None:
    async def scene() -> list[Any]:
        def connect() -> Any:
            raise SettingsError("nowhere to connect to")

        with connect_fast_as(SharedRedis, settings_of("redis://127.0.0.1:1/0")) as client:
            client.lane = Lane(connect)
            return list(await asyncio.gather(*(run_view(client.ping) for _ in range(3)), return_exceptions=True))

    answers = run(scene())

    assert [(type(answer), str(answer)) for answer in answers] == [(redis.ConnectionError, "nowhere to connect to")] * 3


def test_the_connection_keeps_nothing_of_the_first_request(server: RedisServer, run: Run) -> None:
    secret: ContextVar[object] = ContextVar("secret")

    class Secret:
        pass

    async def scene() -> bool:
        async with shared(server.url) as (client, _):

            def view() -> weakref.ref[Secret]:
                held = Secret()
                secret.set(held)
                client.ping()
                return weakref.ref(held)

            found = await run_view(view)
            gc.collect()
            return found() is None

    assert run(scene())


def test_sentinels_that_are_gone_are_passed_over_in_time(server: RedisServer, tmp_path: Path, run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, Sentinel(tmp_path / "sentinel", server) as sentinel:
        gone = f"127.0.0.1:1,127.0.0.1:{silent.getsockname()[1]}"
        url = sentinel.url.replace("sentinel://", f"sentinel://{gone},")

        answers, _ = run(asked(url, lambda client: client.ping()))

    assert answers == [True]


def test_requests_that_come_at_once_take_no_more_of_a_rate_than_they_are(server: RedisServer, run: Run) -> None:
    at_once = 300

    async def scene() -> list[int]:
        async with shared(server.url) as (client, _):
            windows = RateWindows(client)
            counts = (run_view(windows.count, "client/shop/route", 60_000) for _ in range(at_once))
            return [number for number, _ in await asyncio.gather(*counts)]

    numbers = run(scene())

    assert len(set(numbers)) == at_once
    assert max(numbers) <= 2 * at_once  # of which one portion is kept for those who come next


def test_nobody_waits_behind_those_who_wait_for_a_frozen_redis(server: RedisServer, run: Run) -> None:
    async def scene() -> tuple[list[Any], float]:
        async with shared(server.url) as (client, lane):
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
            return list(answers), took

    answers, took = run(scene())

    assert [type(answer) for answer in answers] == [redis.TimeoutError] * 4
    assert took < 2 * FAST_TIMEOUT_SECONDS


def test_a_gateway_whose_redis_is_frozen_still_answers_what_needs_none(server: RedisServer, tmp_path: Path) -> None:
    with served_on(server.url, tmp_path) as served, ThreadPoolExecutor(1) as thread:
        served.client.submit(VIDEO, request_id="before")
        server.pause()
        submission = thread.submit(_code_of_submit, served.client, 1)
        alive = [requests.get(f"{served.url}/health/live", timeout=5).status_code for _ in range(3)]
        was_waiting = not submission.done()
        server.resume()
        submission.result(10)

    assert alive == [200] * 3
    assert was_waiting


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


class _Held:
    """A connection that answers when it is told to."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()
        self.connection_pool = self

    async def until_sent(self) -> None:
        while not self.sent:
            await asyncio.sleep(0)

    async def get_connection(self) -> _Held:
        return self

    async def connect(self) -> None:
        pass

    async def send_packed_command(self, commands: list[bytes]) -> None:
        self.sent.append(len(commands))

    async def read_response(self, **_: object) -> bytes:
        return await self.answers.get()

    async def disconnect(self, **_: object) -> None:
        pass


def test_what_is_told_to_have_failed_has_had_all_its_time(run: Run) -> None:
    """Until then Redis may take it up: `JobStore.accept` goes by the time at which it asked."""

    async def scene() -> float:
        held = _Held()
        lane = Lane(lambda: held)  # type: ignore[arg-type]  # as much of a client as is used
        first = lane.ask(b"first")
        await held.until_sent()
        older = lane.ask(b"older")
        await asyncio.sleep(0.25)
        asked, younger = time.monotonic(), lane.ask(b"younger")
        held.answers.put_nowait(b"OK")
        await first
        answers = await asyncio.gather(older, younger, return_exceptions=True)
        assert [type(answer) for answer in answers] == [redis.TimeoutError] * 2
        assert held.sent == [1, 2]
        return time.monotonic() - asked

    assert run(scene()) >= FAST_TIMEOUT_SECONDS - 0.01  # the clocks' grain


def test_who_waits_already_is_not_bound_to_those_who_come_much_later(run: Run) -> None:
    async def scene() -> list[int]:
        held = _Held()
        lane = Lane(lambda: held)  # type: ignore[arg-type]  # as much of a client as is used
        asked = [lane.ask(b"first")]
        await held.until_sent()
        asked.append(lane.ask(b"older"))
        await asyncio.sleep(0.4)
        asked += [lane.ask(b"younger"), lane.ask(b"youngest")]
        for _ in asked:
            held.answers.put_nowait(b"OK")
        await asyncio.gather(*asked)
        return held.sent

    assert run(scene()) == [1, 1, 2]
