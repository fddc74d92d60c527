"""Views wait on the event loop, each for itself."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import suppress
from contextvars import ContextVar

import greenlet
import pytest

from api import greenlets
from api.greenlets import may_wait, run_view, wait_for

_trace: ContextVar[str] = ContextVar("trace", default="nobody's")


def test_where_a_view_waits_others_go_on() -> None:
    async def scene() -> list[str]:
        order: list[str] = []
        answer = asyncio.get_running_loop().create_future()

        def first() -> str:
            order.append("first begins")
            found = wait_for(answer)
            order.append("first ends")
            return str(found)

        def second() -> None:
            order.append("second")
            answer.set_result("an answer")

        results = await asyncio.gather(run_view(first), run_view(second))
        return [*order, str(results[0])]

    assert asyncio.run(scene()) == ["first begins", "second", "first ends", "an answer"]


def test_what_fails_where_a_view_waits_is_raised_within_it() -> None:
    async def failing() -> None:
        raise LookupError("not there")

    def view() -> str:
        try:
            wait_for(failing())
        except LookupError as error:
            return f"caught: {error}"
        return "nothing raised"

    assert asyncio.run(run_view(view)) == "caught: not there"


def test_what_a_view_raises_comes_out() -> None:
    def view() -> None:
        wait_for(asyncio.sleep(0))
        raise LookupError("its own")

    with pytest.raises(LookupError, match="its own"):
        asyncio.run(run_view(view))


def test_a_request_that_is_given_up_ends_its_view_in_order() -> None:
    async def scene() -> list[str]:
        ended: list[str] = []

        def view() -> None:
            try:
                wait_for(asyncio.get_running_loop().create_future())
            finally:
                ended.append("cleaned up")

        task = asyncio.create_task(run_view(view))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return ended

    assert asyncio.run(scene()) == ["cleaned up"]


def test_the_context_of_a_view_is_its_own() -> None:
    def view(name: str) -> tuple[str, str]:
        before = _trace.get()
        _trace.set(name)
        wait_for(asyncio.sleep(0))
        return before, _trace.get()

    async def scene() -> list[tuple[str, str]]:
        return list(await asyncio.gather(run_view(view, "a"), run_view(view, "b")))

    assert asyncio.run(scene()) == [("nobody's", "a"), ("nobody's", "b")]


def test_a_view_finds_nothing_of_the_one_before_and_nothing_is_kept_of_it() -> None:
    class Request:
        pass

    def view(_: Request, fails: bool) -> str:
        before = _trace.get()
        _trace.set("the last one's")
        if fails:
            raise LookupError("not there")
        return before

    async def scene() -> list[str]:
        found = []
        for fails in (False, True, False):
            request = Request()
            kept = weakref.ref(request)
            with suppress(LookupError):
                found.append(await run_view(view, request, fails))
            del request
            assert kept() is None
        return found

    assert asyncio.run(scene()) == ["nobody's", "nobody's"]


def test_views_use_the_same_greenlets_again_and_a_bounded_number_is_kept() -> None:
    async def in_which() -> object:
        return await run_view(greenlet.getcurrent)

    async def scene() -> tuple[bool, int]:
        greenlets._idle.views.clear()
        is_same = await in_which() is await in_which()
        many = range(2 * greenlets._MOST_IDLE)
        await asyncio.gather(*(run_view(lambda: wait_for(asyncio.sleep(0))) for _ in many))
        return is_same, len(greenlets._idle.views)

    assert asyncio.run(scene()) == (True, greenlets._MOST_IDLE)


def test_a_view_that_nobody_will_come_back_to_ends() -> None:
    async def scene() -> bool:
        found: list[greenlet.greenlet] = []

        def view() -> None:
            found.append(greenlet.getcurrent())
            wait_for(asyncio.sleep(60))

        waiting = asyncio.create_task(run_view(view))
        await asyncio.sleep(0)
        found[0].throw(greenlet.GreenletExit)
        has_ended = found[0].dead
        waiting.cancel()
        await asyncio.wait([waiting])
        return has_ended

    assert asyncio.run(scene())


def test_elsewhere_nothing_can_be_waited_for() -> None:
    async def nothing() -> None:
        pass

    waiting = nothing()
    assert not may_wait()
    with pytest.raises(RuntimeError, match="may wait"):
        wait_for(waiting)
    waiting.close()
