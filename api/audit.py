"""A line for each request: who, what, how it ended, how long it took, under an id that the worker takes over."""

from __future__ import annotations

import re
import time
from functools import partial
from urllib.parse import quote

import structlog
from flask import Flask, Response

from api.request import current_request
from coop.logs import get_logger

TRACE_HEADER = "X-Request-Id"

_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PATH_LENGTH = 200
# Asked every few seconds by whatever watches the gateway.
_QUIET = frozenset({"health.live", "health.ready"})

log = get_logger("coop.audit")


def install(app: Flask) -> None:
    """The first to see a request. `finish` is to be the last to see its answer."""
    app.before_request(_begin)


def finish(response: Response) -> Response:
    """Tell the caller the id, and write the line: of a stream once it has ended."""
    request = current_request()
    response.headers[TRACE_HEADER] = request.trace
    end = partial(
        _write,
        request.started,
        request.endpoint in _QUIET,
        trace=request.trace,
        client=request.caller.name if request.caller else None,
        address=request.address,
        method=request.method,
        # Without the query, and without what would begin a line of its own.
        path=quote(request.path, safe="/:")[:_PATH_LENGTH],
        status=response.status_code,
        code=request.code,
    )
    if response.is_streamed:
        response.call_on_close(end)
    else:
        end()
    return response


def _begin() -> None:
    request = current_request()
    sent = request.header(TRACE_HEADER)
    request.trace = sent if _SANE.fullmatch(sent) else request.nonce[:16]
    structlog.contextvars.clear_contextvars()  # threads are used again
    structlog.contextvars.bind_contextvars(trace=request.trace)


def _write(started: float, quiet: bool, **values: object) -> None:
    write = log.debug if quiet else log.info
    write("request answered", seconds=round(time.monotonic() - started, 4), **values)
