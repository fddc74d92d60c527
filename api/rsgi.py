"""The Flask app under granian's RSGI: a request is answered only once all of it is there.

Under granian's WSGI a thread reads the body for as long as the caller takes to send it, so that a few hundred callers
who send a byte now and then keep everybody out. Here the event loop reads bodies, within a size and a time, and a held
request learns when its caller has gone. The event loop also answers plain submissions, of which many come at once and
none takes long; threads answer all else.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]  # it is there

from api.bodies import BODY_LIMIT_BYTES, REFUSAL
from api.greenlets import may_wait, run_view, wait_for
from api.peers import UNREADABLE
from api.presence import PRESENCE, Presence
from api.request import variable_of
from api.turns import Turn, Turns
from coop.logs import get_logger

if TYPE_CHECKING:
    from flask import Flask
    from granian._granian import RSGIHTTPProtocol as HTTPProtocol
    from granian.rsgi import Scope

BODY_SECONDS = 10.0
"""What a caller gets to send a body, which has at most 64 KiB: time for the slowest of honest lines."""

# The RSGI of granian raises it when a stream's caller has gone; its class is not exported for threads to catch by.
_GONE = (RuntimeError, asyncio.CancelledError)

log = get_logger(__name__)


class Gateway:
    """The RSGI application: reads whole requests and has them answered, some by `threads` threads."""

    def __init__(self, app: Flask, threads: int) -> None:
        self._app = app
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._turns = Turns()

    async def __rsgi__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        environ = environ_of(scope)
        loop = asyncio.get_running_loop()
        try:
            environ["wsgi.input"] = BytesIO(await self._body(scope, protocol, environ))
        except ProtocolClosed:
            return  # the caller has gone in the middle of it
        if _is_brief(environ):
            await run_view(self._answer, environ, protocol, loop)
            return
        turn = await self._turns.take()
        presence = environ[PRESENCE] = _Caller(protocol, loop, turn)
        try:
            await loop.run_in_executor(self._threads, self._answer, environ, protocol, loop)
        finally:
            presence.forget()
            turn.give_back()

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """The process stops: what has not begun is not begun any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _body(self, scope: Scope, protocol: HTTPProtocol, environ: dict[str, Any]) -> bytes:
        """The body; empty, with the reason in the environ, when it is too large or does not come."""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await read_body(scope, protocol)
        except TimeoutError:
            environ[REFUSAL] = "request_timeout"
            return b""
        if body is None:
            environ[REFUSAL] = "body_too_large"
        return body or b""

    def _answer(self, environ: dict[str, Any], protocol: HTTPProtocol, loop: asyncio.AbstractEventLoop) -> None:
        head = _Head()
        chunks = self._app(environ, head)
        try:
            if head.has_length:
                protocol.response_bytes(head.status, head.fields, b"".join(chunks))
            else:
                _stream(protocol, head, chunks, loop)
        finally:
            close = getattr(chunks, "close", None)
            if close:
                close()


def _is_brief(environ: dict[str, Any]) -> bool:
    """Whether a request is answered after one or two short round trips to Redis, and little else: it holds a loop up
    for no longer than the switch between two threads takes. Reading a job is not: one with a long transcript would keep
    all others waiting that share the way to Redis."""
    is_submission = environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"] == "/api/process-video"
    return is_submission and "HTTP_PREFER" not in environ


class _Head:
    """WSGI's `start_response`, keeping what it is told."""

    def __init__(self) -> None:
        self.status = 500
        self.fields: list[tuple[str, str]] = []

    def __call__(
        self, status: str, fields: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], object]:
        self.status = int(status.partition(" ")[0])
        self.fields = fields
        return _no_write

    @property
    def has_length(self) -> bool:
        return any(name.lower() == "content-length" for name, _ in self.fields)


def _no_write(data: bytes) -> object:
    raise NotImplementedError("Flask returns its body")


class _Caller(Presence):
    def __init__(self, protocol: HTTPProtocol, loop: asyncio.AbstractEventLoop, turn: Turn) -> None:
        super().__init__()
        self._protocol = protocol
        self._turn = turn
        self._loop = loop
        self._watch: asyncio.Task[None] | None = None

    def on_leave(self, wake: Callable[[], None]) -> None:
        # Asked for by held requests only: it costs a task of the event loop.
        self._loop.call_soon_threadsafe(self._begin, wake)

    def forget(self) -> None:
        """The request is answered. Called by the event loop."""
        if self._watch:
            self._watch.cancel()

    def _begin(self, wake: Callable[[], None]) -> None:
        self._turn.give_back()
        self._watch = self._loop.create_task(self._wait(wake))

    async def _wait(self, wake: Callable[[], None]) -> None:
        await self._protocol.client_disconnect()
        self.has_left = True
        wake()


async def read_body(scope: Scope, protocol: HTTPProtocol) -> bytes | None:
    """The request's body, None when it is larger than is taken. What is too large is not read on."""
    headers = scope.headers
    if "transfer-encoding" in headers:
        return await _read_chunks(protocol)
    length = headers.get("content-length", "0")
    if length == "0":
        return b""
    # The server has refused what is no number; more bytes than were stated are not part of this request.
    return await protocol() if int(length) <= BODY_LIMIT_BYTES else None


async def _read_chunks(protocol: HTTPProtocol) -> bytes | None:
    body = bytearray()
    async for chunk in protocol:
        body += chunk
        if len(body) > BODY_LIMIT_BYTES:
            return None
    return bytes(body)


def environ_of(scope: Scope) -> dict[str, Any]:
    """The WSGI environment of a request, without its body."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode("utf-8", "replace").decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": _host_of(scope.client),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    environ["SERVER_NAME"], _, environ["SERVER_PORT"] = scope.server.rpartition(":")
    for name, value in scope.headers.items():
        # `webhook_id` would become the same variable as `webhook-id`; no honest header has an underscore.
        if "_" not in name:
            key = variable_of(name) if len(name) <= _LONGEST_KEPT else variable_of.__wrapped__(name)
            environ[key] = f"{environ[key]},{value}" if key in environ else value
    # granian leaves out what is not ASCII. Of this one it is all that a caller behind a proxy would have to send.
    if "x-forwarded-for" in scope.headers:
        environ.setdefault("HTTP_X_FORWARDED_FOR", UNREADABLE)
    return environ


# Callers may make names up, and long ones: those are not kept.
_LONGEST_KEPT = 64


def _host_of(peer: str) -> str:
    """The address of `192.0.2.1:80` or `[2001:db8::1%2]:80`, an IPv4 one also where a dual-stack socket maps it."""
    return _address_of(peer.rpartition(":")[0].strip("[]").partition("%")[0])


@lru_cache(maxsize=1024)
def _address_of(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a Unix socket has none
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)


def _stream(protocol: HTTPProtocol, head: _Head, chunks: Iterable[bytes], loop: asyncio.AbstractEventLoop) -> None:
    """Send each part as it comes, until there is no more or the caller has gone."""
    transport = protocol.response_stream(head.status, head.fields)

    async def send(data: bytes) -> None:
        await transport.send_bytes(data)

    for chunk in chunks:
        if chunk:
            try:
                if may_wait():
                    wait_for(send(chunk))
                else:
                    asyncio.run_coroutine_threadsafe(send(chunk), loop).result()
            except _GONE:
                return
