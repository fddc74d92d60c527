"""A DNS server on a UDP port: each name's answers may change from one question to the next."""

from __future__ import annotations

import socket
import struct
import threading
from ipaddress import ip_address
from types import TracebackType
from typing import Self

_TYPES = {1: 4, 28: 6}  # A and AAAA, by the version of their addresses


class DnsServer:
    """`answers[name]`: a list of answers, each a list of addresses; the last one is given for ever. None: silence.

    `asked`: the names that were asked for, a line per question of either kind.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.answers: dict[str, list[list[str]] | None] = {}
        self.asked: list[str] = []
        self._given: dict[tuple[str, int], int] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="dns", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # An empty question ends the thread.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, sender = self._socket.recvfrom(4096)
            if not question:
                return
            answer = self._answer(question)
            if answer:
                self._socket.sendto(answer, sender)

    def _answer(self, message: bytes) -> bytes | None:
        name, end = _name_in(message)
        (kind,) = struct.unpack_from("!H", message, end)
        self.asked.append(name)
        steps = self.answers.get(name, [])
        if steps is None:
            return None
        records = [address for address in self._next(name, kind, steps) if address.version == _TYPES.get(kind)]
        status = 0 if steps else 3  # NXDOMAIN
        head = message[:2] + struct.pack("!HHHHH", 0x8180 | status, 1, len(records), 0, 0)
        # A pointer to the question's name, the kind, class IN, to be kept for no time, and the address.
        body = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(a.packed)) + a.packed for a in records)
        return head + message[12 : end + 4] + body

    def _next(self, name: str, kind: int, steps: list[list[str]]) -> list:  # type: ignore[type-arg]  # of addresses
        if not steps:
            return []
        turn = self._given.get((name, kind), 0)
        self._given[name, kind] = turn + 1
        return [ip_address(text) for text in steps[min(turn, len(steps) - 1)]]


def _name_in(message: bytes) -> tuple[str, int]:
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode("ascii"))
        at += 1 + message[at]
    return ".".join(labels).lower(), at + 1
