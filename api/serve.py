"""`python -m api.serve`: the gateway under granian, a WSGI server in Rust that runs on Linux, macOS and Windows.

One process answers with many threads: a held request costs a thread that sleeps, and the work of a request is short.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from coop.logs import configure_logs, get_logger
from coop.redis_client import redis_url
from coop.settings import Settings, SettingsError, read_settings

STOP_SECONDS = 3
"""What requests get to end when the gateway is stopped; held ones and streams are cut then, and asked for again."""

_KEEP_ALIVE_MILLISECONDS = 30_000

if TYPE_CHECKING:
    from flask import Flask

log = get_logger(__name__)


def make_app() -> Flask:
    """The app of a serving process, which is a child of this one: it reads the settings for itself."""
    from api.application import create_app  # here, so that the parent, which only minds the child, stays small

    settings = read_settings()
    configure_logs(settings)
    app = create_app(settings)
    log.info("gateway ready", url=settings.base_url)
    return app


def main() -> int:
    """Serve until SIGTERM or Ctrl-C; 2 when the settings are wrong."""
    try:
        settings = read_settings()
        configure_logs(settings)
        redis_url(settings)  # what is missing is said here, not by a child that dies
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    _server(settings).serve()
    return 0


def _server(settings: Settings) -> Any:
    return Granian(
        "api.serve:make_app",
        factory=True,
        interface=Interfaces.WSGI,
        address=settings.host,
        port=settings.port,
        workers=1,
        blocking_threads=settings.gateway_threads,
        # Counts connections, idle ones too: more than threads, or callers that keep theirs open lock others out.
        backpressure=max(4096, 4 * settings.gateway_threads),
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_KEEP_ALIVE_MILLISECONDS),
        workers_kill_timeout=STOP_SECONDS,
        # Its own lines go where ours go. Below `error` it tells each start of a process and warns of many threads,
        # which are meant here: nearly all of them sleep.
        log_level=LogLevels.error,
        log_dictconfig={"handlers": {}, "loggers": {"_granian": {"propagate": True}}},
    )


if __name__ == "__main__":
    sys.exit(main())
