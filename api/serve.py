"""`python -m api.serve`: the gateway under granian, a server in Rust that runs on Linux, macOS and Windows.

A process answers short requests on its event loop and the others with many threads: a held one costs a thread that
sleeps.
"""

from __future__ import annotations

import ipaddress
import sys
from typing import TYPE_CHECKING, Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels

from api.tls import CertificateError, check_certificate, watch_certificate
from coop.logs import configure_logs, get_logger
from coop.redis_client import redis_url
from coop.settings import Settings, SettingsError, read_settings

_MOST_CONNECTIONS = 4096

STOP_SECONDS = 3
"""What requests get to end when the gateway is stopped; held ones and streams are cut then, and asked for again."""

# Also what a caller gets to send its headers.
_KEEP_ALIVE_MILLISECONDS = 30_000
_HEADERS_BYTES = 32 * 1024

if TYPE_CHECKING:
    from api.rsgi import Gateway

log = get_logger(__name__)


def make_gateway() -> Gateway:
    """The app of a serving process, which is a child of this one: it reads the settings for itself."""
    from api.application import create_app  # here, so that the parent, which only minds the child, stays small
    from api.rsgi import Gateway

    settings = read_settings()
    configure_logs(settings)
    _allow_many_connections()
    gateway = Gateway(create_app(settings), settings.gateway_threads)
    log.info("gateway ready", url=settings.base_url)
    return gateway


def main() -> int:
    """Serve until SIGTERM or Ctrl-C; 2 when the settings are wrong."""
    try:
        settings = read_settings()
        configure_logs(settings)
        redis_url(settings)  # what is missing is said here, not by a child that dies
        if settings.tls_cert and settings.tls_key:
            check_certificate(settings.tls_cert, settings.tls_key)
    except (SettingsError, CertificateError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if settings.tls_cert is None and not _is_loopback(settings.host):
        log.warning(
            "THE GATEWAY LISTENS BEYOND THIS MACHINE WITHOUT TLS: keys and results can be read on the way."
            " Set COOP_TLS_CERT and COOP_TLS_KEY, or let only a proxy that speaks TLS reach it",
            host=settings.host,
        )
    server = _server(settings)
    if settings.tls_cert and settings.tls_key:
        # A second process takes up the new certificate before the first one stops.
        watch_certificate(settings.tls_cert, settings.tls_key, server.signal_handler_reload)
    server.serve()
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _allow_many_connections() -> None:
    """Systems give a process some 1,000 open files unless it asks for what it may have; slow callers use them up."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _MOST_CONNECTIONS * 2 if most == resource.RLIM_INFINITY else min(most, _MOST_CONNECTIONS * 2)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _server(settings: Settings) -> Any:
    return Granian(
        "api.serve:make_gateway",
        factory=True,
        interface=Interfaces.RSGI,
        websockets=False,
        address=settings.host,
        port=settings.port,
        workers=settings.gateway_processes,
        # Counts connections, idle ones too: more than threads, or callers that keep theirs open lock others out.
        backpressure=max(_MOST_CONNECTIONS, 4 * settings.gateway_threads),
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_KEEP_ALIVE_MILLISECONDS, max_buffer_size=_HEADERS_BYTES),
        ssl_cert=settings.tls_cert,
        ssl_key=settings.tls_key,
        # 1.2 as well: rustls speaks it with forward secrecy and authenticated ciphers only, and older callers need it.
        ssl_protocol_min=SSLProtocols.tls12,
        workers_kill_timeout=STOP_SECONDS,
        # Its own lines go where ours go. Below `error` it tells each start of a process and warns of many threads,
        # which are meant here: nearly all of them sleep.
        log_level=LogLevels.error,
        log_dictconfig={"handlers": {}, "loggers": {"_granian": {"propagate": True}}},
    )


if __name__ == "__main__":
    sys.exit(main())
