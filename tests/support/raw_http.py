"""HTTP as no library would send it: over a socket, byte by byte."""

from __future__ import annotations

import socket
from contextlib import suppress
from urllib.parse import urlsplit

from tests.support.gateway import Served


def connect(served: Served) -> socket.socket:
    place = urlsplit(served.url)
    return socket.create_connection((place.hostname or "", place.port or 0), timeout=30)


def head(method: str, path: str, *fields: str) -> bytes:
    """A request's head; each field as it is to be sent."""
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: gateway", *fields, "", "")).encode("latin-1")


def answer_to(served: Served, request: bytes) -> tuple[int, bytes]:
    """Status and all the rest of the answer to `request`, which asks for the connection to be closed. 0: no answer."""
    with connect(served) as line:
        with suppress(OSError):  # the server may have hung up before it was all sent
            line.sendall(request)
        return read_answer(line)


def read_answer(line: socket.socket) -> tuple[int, bytes]:
    """Until the other end closes, or has said all that its Content-Length promises."""
    received = b""
    with suppress(OSError):
        while not _is_whole(received):
            part = line.recv(65536)
            if not part:
                break
            received += part
    return (int(received[9:12]) if received[9:12].isdigit() else 0), received


def _is_whole(received: bytes) -> bool:
    begin, separator, body = received.partition(b"\r\n\r\n")
    for field in begin.lower().split(b"\r\n"):
        if separator and field.startswith(b"content-length:"):
            return len(body) >= int(field.partition(b":")[2])
    return False
