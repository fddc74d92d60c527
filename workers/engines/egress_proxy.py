"""A SOCKS5 proxy on loopback through which yt-dlp's children reach the net: the egress rules, held at the socket.

The child hands over names, never addresses that it resolved itself (`socks5h`). Each is looked up once, judged, and
connected to by its literal address, so redirects, embedded pages, playlist entries and rebound names are all covered.
SOCKS rather than HTTP: one handshake for http and https alike, and no HTTP to parse on the way.
"""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
import selectors
import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Iterator
from socketserver import BaseRequestHandler, TCPServer, ThreadingMixIn

from coop.egress import open_connection
from coop.errors import JobError
from coop.logs import get_logger
from coop.settings import Settings

log = get_logger(__name__)

# RFC 1928 and RFC 1929
_VERSION, _BY_PASSWORD, _NO_METHOD, _CONNECT = 5, 2, 0xFF, 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_SUCCEEDED, _NOT_ALLOWED, _UNREACHABLE, _REFUSED, _NO_SUCH_COMMAND = 0, 2, 4, 5, 7

_HANDSHAKE_SECONDS = 10.0
_IDLE_SECONDS = 300.0
_MAX_CONNECTIONS = 512
_MAX_REFUSALS = 20
_CHUNK_BYTES = 2**16


class EgressProxy:
    """The proxy of one process. Only who knows its secret may use it: other users of the machine reach loopback too."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._secret = secrets.token_urlsafe(24)
        self._refusals: dict[str, list[str]] = defaultdict(list)
        self._lock = threading.Lock()
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="egress-proxy", daemon=True
        )
        self._thread.start()

    def url(self, user: str) -> str:
        """The proxy's address for `user`, a name that its refusals are kept under."""
        return f"socks5h://{user}:{self._secret}@127.0.0.1:{self._server.server_address[1]}"

    def take_refusals(self, user: str) -> list[str]:
        """The reasons for which connections of `user` were refused since the last call."""
        with self._lock:
            return self._refusals.pop(user, [])

    def close(self) -> None:
        """Stop listening and end every connection."""
        self._server.shutdown()
        self._server.server_close()
        self._server.end_connections()
        self._thread.join()

    def knows(self, password: str) -> bool:
        return secrets.compare_digest(password.encode(), self._secret.encode())

    def connect(self, user: str, host: str, port: int) -> socket.socket:
        """As `open_connection`; a refusal is kept for `take_refusals`."""
        try:
            return open_connection(host, port, self._settings, self._settings.socket_timeout_seconds)
        except JobError as error:
            log.info("connection refused by the egress rules", host=host, port=port)
            with self._lock:
                if len(self._refusals[user]) < _MAX_REFUSALS:
                    self._refusals[user].append(error.message)
            raise


class _Server(ThreadingMixIn, TCPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, proxy: EgressProxy) -> None:
        self.proxy = proxy
        self._free = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self._live: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Connection)

    def verify_request(self, request: object, client_address: object) -> bool:
        return self._free.acquire(blocking=False)

    def process_request_thread(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]  # a TCP server's request is a socket
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: object, client_address: object) -> None:
        log.exception("a proxied connection failed in a way that has no name")

    @contextlib.contextmanager
    def live(self, *sockets: socket.socket) -> Iterator[None]:
        """Let `end_connections` know `sockets` while they are in use."""
        self._live.update(sockets)
        try:
            yield
        finally:
            self._live.difference_update(sockets)

    def end_connections(self) -> None:
        for connection in list(self._live):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Connection(BaseRequestHandler):
    """One connection of a child: handshake, one CONNECT, then bytes both ways."""

    server: _Server
    request: socket.socket

    def handle(self) -> None:
        # A peer that goes away or does not speak SOCKS is nothing to report: the child sees it end.
        with self.server.live(self.request), contextlib.suppress(OSError, EOFError, ValueError):
            self.request.settimeout(_HANDSHAKE_SECONDS)
            user = self._authenticate()
            if user is None:
                return
            upstream = self._connect(user)
            if upstream is not None:
                with upstream, self.server.live(upstream):
                    _relay(self.request, upstream)

    def _authenticate(self) -> str | None:
        """The user's name, or None when the client may not use the proxy."""
        version, count = self._read(2)
        methods = self._read(count)
        if version != _VERSION or _BY_PASSWORD not in methods:
            self.request.sendall(bytes((_VERSION, _NO_METHOD)))
            return None
        self.request.sendall(bytes((_VERSION, _BY_PASSWORD)))
        self._read(1)
        user, password = self._read_text(), self._read_text()
        known = self.server.proxy.knows(password)
        self.request.sendall(bytes((1, 0 if known else 1)))
        return user if known else None

    def _connect(self, user: str) -> socket.socket | None:
        _version, command, _reserved, kind = self._read(4)
        host = self._read_host(kind)
        (port,) = struct.unpack("!H", self._read(2))
        if command != _CONNECT:
            self._answer(_NO_SUCH_COMMAND)
            return None
        try:
            upstream = self.server.proxy.connect(user, host, port)
        except (JobError, OSError) as error:
            self._answer(_reply_to(error))
            return None
        self._answer(_SUCCEEDED)
        return upstream

    def _read_host(self, kind: int) -> str:
        if kind == _NAME:
            return self._read_text()
        if kind == _IPV4:
            return str(ipaddress.IPv4Address(self._read(4)))
        if kind == _IPV6:
            return str(ipaddress.IPv6Address(self._read(16)))
        raise ValueError("no such kind of address")

    def _answer(self, code: int) -> None:
        # The address that follows is the proxy's own at the far side; nobody reads it.
        self.request.sendall(bytes((_VERSION, code, 0, _IPV4)) + bytes(6))

    def _read_text(self) -> str:
        return self._read(self._read(1)[0]).decode("ascii")

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.request.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data


def _reply_to(error: JobError | OSError) -> int:
    if isinstance(error, JobError):
        return _NOT_ALLOWED
    return _REFUSED if isinstance(error, ConnectionRefusedError) else _UNREACHABLE


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until both sides have ended, or neither has said anything for a long time."""
    one.settimeout(_IDLE_SECONDS)
    other.settimeout(_IDLE_SECONDS)
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while selector.get_map():
            ready = selector.select(_IDLE_SECONDS)
            if not ready:
                return
            for key, _events in ready:
                source, target = key.fileobj, key.data
                if not _carry(source, target):  # type: ignore[arg-type]  # sockets are registered above, nothing else
                    selector.unregister(source)


def _carry(source: socket.socket, target: socket.socket) -> bool:
    """Pass on what has come; False at the end of `source`, which `target` is told."""
    data = source.recv(_CHUNK_BYTES)
    if data:
        target.sendall(data)
        return True
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
    return False
