"""Redis for views on the event loop: what they ask at the same time goes there, and comes back, together."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from typing import Any

import redis
from hiredis import pack_command
from redis import asyncio as async_redis
from redis.asyncio.connection import AbstractConnection
from redis.commands.core import Script

from api.greenlets import may_wait, wait_for
from coop.logs import get_logger
from coop.redis_client import FAST_TIMEOUT_SECONDS

log = get_logger(__name__)

Futures = list[asyncio.Future[Any]]
Batch = deque[tuple[float, bytes, Futures]]
"""Packed commands: when each was asked, by the loop's clock, and who waits for its answer."""

# Commands of one batch were asked within that time. The batch has until the time of its last one is over: what a caller
# was told has failed, Redis must not take up after all.
_TOGETHER_SECONDS = 0.3


class Lane:
    """The way of one event loop to Redis: one batch at a time, and what is asked meanwhile is the next one.

    A command by itself costs Python several times what it costs in a batch, and Redis writes its disk once for each.
    Of redis-py's asyncio part only the connection is used: its pipeline packs commands in Python and sets a timer for
    every answer, which costs as much as all the rest. `connect` is called on the event loop, when there is a command.
    """

    def __init__(self, connect: Callable[[], async_redis.Redis]) -> None:
        self._connect = connect
        self._client: async_redis.Redis | None = None
        self._connection: AbstractConnection | None = None
        self._waiting: Batch = deque()
        self._shared: dict[bytes, Futures] = {}
        self._runner: asyncio.Task[None] | None = None

    def ask(self, command: bytes, *, is_shared: bool = False) -> asyncio.Future[Any]:
        """Redis' answer to a packed command, as it came. Errors are redis.RedisError.

        `is_shared`: it changes nothing, so that one answer does for all who ask the same for the same batch.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        if is_shared and command in self._shared:
            self._shared[command].append(answer)
            return answer
        futures = [answer]
        self._waiting.append((loop.time(), command, futures))
        if is_shared:
            self._shared[command] = futures
        if self._runner is None:
            # In a context of its own: the connection keeps it, and with it all that the first request holds.
            self._runner = loop.create_task(self._run(), context=Context())
        return answer

    async def close(self) -> None:
        client, self._client, self._connection = self._client, None, None
        if client:
            await client.aclose()
            # redis-py leaves those to the Sentinels open.
            manager = getattr(client.connection_pool, "sentinel_manager", None)
            for sentinel in manager.sentinels if manager else ():
                await sentinel.aclose()

    async def _run(self) -> None:
        batch: Batch = deque()
        try:
            while self._waiting:
                await asyncio.sleep(0)  # what else this turn of the loop brings goes along
                batch = self._take()
                try:
                    await self._sent(batch, batch[-1][0] + FAST_TIMEOUT_SECONDS)
                except Exception as error:  # whatever it is, nobody may be left waiting for an answer
                    if not isinstance(error, redis.RedisError):
                        log.exception("the way to Redis failed")
                    # Who came meanwhile has waited as well: one after the other they would wait beyond their time.
                    for _, _, futures in (*batch, *self._take_all()):
                        _settle(futures, _as_redis_error(error))
        finally:
            self._runner = None
            # There are none, unless this task was ended: nobody is left waiting.
            for _, _, futures in (*batch, *self._take_all()):
                for future in futures:
                    future.cancel()

    def _take(self) -> Batch:
        last = self._waiting[0][0] + _TOGETHER_SECONDS
        if self._waiting[-1][0] <= last:
            return self._take_all()
        taken: Batch = deque()
        while self._waiting[0][0] <= last:
            taken.append(self._waiting.popleft())
        self._shared = {}
        return taken

    def _take_all(self) -> Batch:
        taken, self._waiting = self._waiting, deque()
        self._shared = {}
        return taken

    async def _sent(self, batch: Batch, end: float) -> None:
        """Have a batch answered, and leave in it what was not. `end`: of the loop's clock. Raises redis.RedisError."""
        try:
            async with asyncio.timeout_at(end):
                try:
                    await self._exchange(batch)
                except redis.ConnectionError:  # Redis was restarted since; each command bears being sent twice
                    await self._exchange(batch)
        except TimeoutError as error:
            raise redis.TimeoutError("Redis does not answer in time") from error

    async def _exchange(self, batch: Batch) -> None:
        try:
            if self._connection is None:
                self._client = self._client or self._connect()
                self._connection = await self._client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
            await self._connection.connect()  # if need be; this asks the Sentinels anew, which sending does not
            await self._connection.send_packed_command([command for _, command, _ in batch])
            while batch:
                answer = await _answer(self._connection)
                _settle(batch.popleft()[2], answer)
        except BaseException as error:
            # What was sent may be answered yet: nobody may take that for an answer to something else.
            if self._connection:
                await self._connection.disconnect(nowait=True)
            if isinstance(error, RuntimeError):  # uvloop's word for a connection that was reset
                raise redis.ConnectionError(str(error)) from error
            raise


class SharedRedis(redis.Redis):
    """A client whose commands take the lane where a view waits on the event loop; elsewhere one like any other."""

    lane: Lane | None = None

    def register_script(self, script: Any) -> Script:
        return _Script(self, script)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if self.lane and may_wait():
            name, *values = args
            packed = _packed(*name.split(), *values)
            return self.parse_response(_Coming(self.lane.ask(packed)), name, **options)  # type: ignore[no-untyped-call]
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> redis.client.Pipeline:
        if self.lane and may_wait():
            raise RuntimeError("a view on the event loop has no pipelines: what it asks goes in batches as it is")
        return super().pipeline(transaction, shard_hint)


class _Script(Script):
    """As redis-py's, for half of the time that one takes to ask by the lane.

    Scripts that declare `no-writes` are asked once for all who ask the same at the same time.
    """

    def __init__(self, client: SharedRedis, source: Any) -> None:
        super().__init__(client, source)
        self._client = client
        self._is_shared = "no-writes" in str(source).partition("\n")[0]

    def __call__(self, keys: Sequence[Any] | None = None, args: Iterable[Any] | None = None, client: Any = None) -> Any:
        lane = self._client.lane
        if client or not (lane and may_wait()):
            return super().__call__(keys, args, client)
        values = (len(keys or ()), *(keys or ()), *(args or ()))
        try:
            return wait_for(lane.ask(_packed("EVALSHA", self.sha, *values), is_shared=self._is_shared))
        except redis.exceptions.NoScriptError:
            self.sha = self._client.script_load(self.script)
            return wait_for(lane.ask(_packed("EVALSHA", self.sha, *values), is_shared=self._is_shared))


def _packed(*command: Any) -> bytes:
    """Raises redis.DataError for what Redis cannot be sent."""
    try:
        packed: bytes = pack_command(command)
    except TypeError as error:
        raise redis.DataError(str(error)) from error
    return packed


class _Coming:
    """An answer on its way, which redis-py reads as it reads a connection."""

    def __init__(self, answer: asyncio.Future[Any]) -> None:
        self._answer = answer

    def read_response(self, **_: Any) -> Any:
        return wait_for(self._answer)


def _as_redis_error(error: Exception) -> redis.RedisError:
    """One of its own for each who waits: they are raised side by side."""
    if isinstance(error, redis.RedisError):
        return type(error)(*error.args)
    return redis.ConnectionError(str(error))


async def _answer(connection: AbstractConnection) -> Any:
    try:
        # Without a time limit of its own: the batch has one.
        return await connection.read_response(timeout=math.inf)
    except redis.ResponseError as error:
        return error


def _settle(futures: Futures, answer: Any) -> None:
    for future in futures:
        if future.done():  # its request was given up
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
