"""A few requests are worked on at once; nobody waits for ever."""

from __future__ import annotations

import asyncio

from api.turns import Turns


def test_the_next_request_has_its_turn_when_one_is_given_back() -> None:
    async def scene() -> bool:
        turns = Turns(at_once=1, patience_seconds=60)
        first = await turns.take()
        second = asyncio.create_task(turns.take())
        await asyncio.sleep(0)
        waited = not second.done()
        first.give_back()
        await asyncio.wait_for(second, 5)
        return waited

    assert asyncio.run(scene())


def test_a_request_that_waited_long_goes_without_a_turn() -> None:
    async def scene() -> bool:
        turns = Turns(at_once=1, patience_seconds=0.01)
        await turns.take()
        without = await asyncio.wait_for(turns.take(), 5)
        without.give_back()
        return turns._free.locked()

    assert asyncio.run(scene()), "what takes no place gives none back"


def test_a_turn_is_given_back_once() -> None:
    async def scene() -> bool:
        turns = Turns(at_once=1, patience_seconds=60)
        turn = await turns.take()
        turn.give_back()
        turn.give_back()
        await turns.take()
        return turns._free.locked()

    assert asyncio.run(scene())
