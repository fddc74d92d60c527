"""A line for each request: who, what, how it ended, how long it took, under an id that the worker takes over."""

from __future__ import annotations

import re
import secrets
import time
from functools import partial
from urllib.parse import quote

import structlog
from flask import Flask, Response

from api.present import present
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
    now = present()
    response.headers[TRACE_HEADER] = now.trace
    end = partial(
        _write,
        now.started,
        now.endpoint in _QUIET,
        trace=now.trace,
        client=now.caller.name if now.caller else None,
        address=now.address,
        method=now.method,
        # Without the query, and without what would begin a line of its own.
        path=quote(now.path, safe="/:")[:_PATH_LENGTH],
        status=response.status_code,
        code=now.code,
    )
    if response.is_streamed:
        response.call_on_close(end)
    else:
        end()
    return response


def _begin() -> None:
    now = present()
    now.started = time.monotonic()
    sent = now.header(TRACE_HEADER)
    random = secrets.token_hex(16)  # one call of the system for both
    now.nonce = random[:16]
    now.trace = sent if _SANE.fullmatch(sent) else random[16:]
    structlog.contextvars.clear_contextvars()  # threads are used again
    structlog.contextvars.bind_contextvars(trace=now.trace)


def _write(started: float, quiet: bool, **values: object) -> None:
    write = log.debug if quiet else log.info
    write("request answered", seconds=round(time.monotonic() - started, 4), **values)
