"""What a production server has at its callback URL: it checks the signature with the standard's own library."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from standardwebhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True)
class Callback:
    """One POST that arrived. `problem` is None when its signature is valid."""

    headers: dict[str, str]
    body: bytes
    problem: str | None

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class CallbackReceiver:
    """A server on loopback that answers 204 to a valid message and 401 to any other. Set `secret` before the first.

    `answer` is another status for valid ones, `headers` go with it, and `misbehave` takes the connection instead.
    """

    def __init__(self, secret: str = "") -> None:
        self.secret = secret
        self.answer = 204
        self.headers: dict[str, str] = {}
        self.misbehave: Callable[[BaseHTTPRequestHandler], None] | None = None
        self._arrived: queue.SimpleQueue[Callback] = queue.SimpleQueue()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                callback = receiver.take({name.lower(): value for name, value in self.headers.items()}, body)
                if receiver.misbehave:
                    receiver.misbehave(self)
                    return
                self.send_response(401 if callback.problem else receiver.answer)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """The demo's stderr is for people, pytest's for the tests."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="callbacks")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/api/video-result"

    def take(self, headers: dict[str, str], body: bytes) -> Callback:
        callback = Callback(headers, body, self._verify(headers, body))
        self._arrived.put(callback)
        return callback

    def wait(self, seconds: float) -> Callback:
        """The next message that has arrived or arrives in time. Raises TimeoutError."""
        try:
            return self._arrived.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"no callback within {seconds:g} s") from None

    def arrived(self) -> list[Callback]:
        """All that have arrived and were not waited for."""
        found = []
        while not self._arrived.empty():
            found.append(self._arrived.get())
        return found

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _verify(self, headers: dict[str, str], body: bytes) -> str | None:
        try:
            Webhook(self.secret).verify(body, headers)
        except (WebhookVerificationError, ValueError) as error:  # it lets ValueError through for a malformed header
            return str(error) or type(error).__name__
        return None
