"""A line between a worker and Redis that can be cut, reset, or go dead without a word."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Self

_CHUNK = 65536


class TcpProxy:
    """`with TcpProxy(port) as line: line.port`. All of it may be called while connections are open.

    - `cut()`: connections end and new ones are refused, until `mend()`;
    - `reset()`: every open connection is reset at once; new ones are fine;
    - `swallow()`: what is open stays open and carries nothing any more, for ever; new ones are fine;
    - `swallow(also_new=True)`: new ones too are taken and carry nothing, until `mend()`.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener: socket.socket | None = None
        self._links: set[_Link] = set()
        self._lock = threading.Lock()
        self._swallows_new = False
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def mend(self) -> None:
        self._swallows_new = False
        if self._listener is None:
            self._listen()

    def cut(self) -> None:
        listener, self._listener = self._listener, None
        if listener:
            # Closing alone does not wake the thread that waits in accept.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.reset()

    def reset(self) -> None:
        with self._lock:
            links = list(self._links)
        for link in links:
            link.reset()

    def swallow(self, *, also_new: bool = False) -> None:
        self._swallows_new = also_new
        with self._lock:
            for link in self._links:
                link.is_dead = True

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    def _listen(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return  # cut
            try:
                far = socket.create_connection(("127.0.0.1", self._target_port), timeout=5)
            except OSError:
                near.close()  # Redis is down: a line to it behaves as Redis does
                continue
            far.settimeout(None)
            link = _Link(near, far, self._swallows_new)
            with self._lock:
                self._links = {each for each in self._links if not each.is_over} | {link}
            link.start()


class _Link:
    """One connection, both ways."""

    def __init__(self, near: socket.socket, far: socket.socket, is_dead: bool) -> None:
        self._near, self._far = near, far
        self.is_dead = is_dead
        self.is_over = False

    def start(self) -> None:
        for source, sink in ((self._near, self._far), (self._far, self._near)):
            threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def reset(self) -> None:
        for end in (self._near, self._far):
            with contextlib.suppress(OSError):
                # Lingering for no time makes the close a reset; the shutdown wakes the thread that reads.
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RD)
                end.close()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                if not self.is_dead:
                    sink.sendall(data)
            while self.is_dead and not self.is_over:
                # The other side hung up; this side never hears of it.
                time.sleep(0.1)
        self.is_over = True
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.close()
