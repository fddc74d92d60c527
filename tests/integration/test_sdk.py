"""The client for callers, with a gateway that is not always there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from coop.cli import main
from coop.sdk import Coop, CoopError, Unreachable

SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtMDE="
JOB: dict[str, Any] = {"stages": [], "endedAt": None, "delivery": {"status": "none", "attempts": []}}
ENDED = {**JOB, "endedAt": "2026-11-22T09:49:05Z"}
BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
GONE = b""


def _events(*documents: dict[str, Any]) -> bytes:
    events = b"".join(b"event: job\ndata: " + json.dumps(each).encode() + b"\n\n" for each in documents)
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + events


class Gateway(ThreadingHTTPServer):
    """Answers each request for events with the next of `streams`, and everything else with the final document."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.streams: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_GET(self) -> None:
        self.close_connection = True
        if self.path.endswith("/events"):
            self.wfile.write(self.server.streams.pop(0))
            return
        body = json.dumps({"success": True, "status": "queued", "result": {}, **ENDED}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Coop:
    monkeypatch.setattr("coop.sdk._PAUSE_SECONDS", 0.01)
    return Coop(gateway.url, "coop_key", SECRET)


def test_waiting_outlives_a_gateway_that_is_busy_gone_and_restarted(gateway: Gateway, client: Coop) -> None:
    gateway.streams = [BUSY, GONE, _events(JOB), _events(JOB, ENDED)]

    assert client.wait("r1", 20)["result"] == {}
    assert gateway.streams == []


def test_the_changes_end_with_the_last_one(gateway: Gateway, client: Coop) -> None:
    gateway.streams = [BUSY, _events(JOB, ENDED)]

    assert list(client.changes("r1", 20)) == [JOB, ENDED]


def test_a_refusal_that_stays_is_raised_at_once(gateway: Gateway, client: Coop) -> None:
    gateway.streams = [REFUSED]

    with pytest.raises(CoopError):
        client.wait("r1", 20)


def test_a_gateway_that_stays_away_is_given_up_after_so_many_tries(gateway: Gateway, client: Coop) -> None:
    gateway.streams = [GONE, GONE, GONE]

    with pytest.raises(Unreachable):
        list(client.changes("r1", 20, reconnects=2))


def test_submit_waits_on_when_the_gateway_is_busy(gateway: Gateway, tmp_path: Path) -> None:
    gateway.streams = [BUSY, _events(JOB, ENDED)]
    environment = {
        "COOP_PUBLIC_URL": gateway.url,
        "COOP_API_KEY": "coop_key",
        "COOP_SIGNING_SECRET": SECRET,
        "COOP_DATA_DIR": str(tmp_path),
    }

    told = CliRunner().invoke(main, ["submit", "--wait", "https://video.example.org/1"], env=environment)

    assert told.exit_code == 0, told.stderr
