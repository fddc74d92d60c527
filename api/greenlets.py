"""Views that wait on the event loop: a view is a plain function, and where it waits, other requests go on.

A view runs in a greenlet of its own. `wait_for` leaves it with something to be awaited, which the coroutine that
started the view awaits in its stead, and then goes back into it. Views that know nothing of it run in threads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar, cast

import greenlet

P = ParamSpec("P")
T = TypeVar("T")


class _View(greenlet.greenlet):
    """A greenlet that may be left with an awaitable, for its parent runs `run_view`."""


async def run_view(view: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `view` on this event loop; what is raised where it waits is raised within it."""
    running = _View(view)
    answer = running.switch(*args, **kwargs)
    while not running.dead:
        try:
            value = await answer
        except BaseException as error:  # noqa: BLE001  # goes on within the view, a cancellation too
            answer = running.throw(error)
        else:
            answer = running.switch(value)
    return cast(T, answer)


def may_wait() -> bool:
    """Whether `wait_for` can be used here."""
    return isinstance(greenlet.getcurrent(), _View)


def wait_for(awaitable: Awaitable[T]) -> T:
    """What the awaitable comes to, for a function that `run_view` has called."""
    view = greenlet.getcurrent()
    if not isinstance(view, _View) or view.parent is None:
        raise RuntimeError("only a view that `run_view` has called may wait")
    return cast(T, view.parent.switch(awaitable))
