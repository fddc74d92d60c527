"""Views that wait on the event loop: a view is a plain function, and where it waits, other requests go on.

A view runs in a greenlet. `wait_for` leaves it with something to be awaited, which the coroutine that started the view
awaits in its stead, and then goes back into it. Views that know nothing of it run in threads.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

import greenlet

P = ParamSpec("P")
T = TypeVar("T")

_MOST_IDLE = 128
"""As many as callers usually come at once; each takes some 20 KB."""


class _Call:
    """A view that is called in a greenlet, and what it has come to."""

    def __init__(self, view: Callable[[], Any]) -> None:
        self._view = view
        self._value: Any = None
        self._error: BaseException | None = None

    def carry_out(self) -> None:
        try:
            self._value = self._view()
        except greenlet.GreenletExit:  # nobody will come back to it
            raise
        except BaseException as error:  # noqa: BLE001  # raised where the view was called
            self._error = error

    def outcome(self) -> Any:
        """Once: then nothing of the request is held here, for its greenlet keeps this call until the next one."""
        value, error = self._value, self._error
        del self._view, self._value, self._error
        if error is None:
            return value
        try:
            raise error
        finally:
            del error  # which holds this frame


class _View(greenlet.greenlet):
    """A greenlet that may be left with an awaitable, for its parent runs `run_view`.

    It carries out one call after the other, each of which it is left with in the end: for the frames of a new greenlet
    Python maps memory, which takes ten times as long as all else about it.
    """

    def run(self) -> None:
        call = None
        while True:
            call = cast(greenlet.greenlet, self.parent).switch(call)
            call.carry_out()


class _Idle(threading.local):
    """Greenlets belong to a thread. Here it is the one of the event loop, which lives as long as the process."""

    def __init__(self) -> None:
        self.views: list[_View] = []


_idle = _Idle()


async def run_view(view: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `view` on this event loop; what is raised where it waits is raised within it."""
    call = _Call(partial(view, *args, **kwargs))
    running = _idle.views.pop() if _idle.views else _new_view()
    answer = running.switch(call)
    while answer is not call:
        try:
            value = await answer
        except BaseException as error:  # noqa: BLE001  # goes on within the view, a cancellation too
            answer = running.throw(error)
        else:
            answer = running.switch(value)
    running.gr_context = contextvars.Context()  # it keeps nothing of this call for the next one
    if len(_idle.views) < _MOST_IDLE:
        _idle.views.append(running)
    return cast(T, call.outcome())


def _new_view() -> _View:
    made = _View()
    made.switch()
    return made


def may_wait() -> bool:
    """Whether `wait_for` can be used here."""
    return isinstance(greenlet.getcurrent(), _View)


def wait_for(awaitable: Awaitable[T]) -> T:
    """What the awaitable comes to, for a function that `run_view` has called."""
    view = greenlet.getcurrent()
    if not isinstance(view, _View) or view.parent is None:
        raise RuntimeError("only a view that `run_view` has called may wait")
    return cast(T, view.parent.switch(awaitable))
