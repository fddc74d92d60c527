"""A load generator in a process of its own: callers that each send the next request when the last was answered.

`python -m tests.benchmarks.load` reads a plan from standard input (JSON: port, callers, seconds, and the name of a file
of requests, one after the other, each with its length in a line before it) and prints what it saw as JSON. The requests
are made and signed beforehand, so that little of the machine goes into asking.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.figures import quantile

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Seen:
    """`statuses`: how many answers of each HTTP status; latencies in seconds."""

    seconds: float
    statuses: dict[str, int]
    latencies: list[float]

    def milliseconds(self, share: float) -> float:
        return quantile(self.latencies, share) * 1000

    @property
    def per_second(self) -> float:
        """Answers of the statuses 200 to 299."""
        return sum(count for status, count in self.statuses.items() if status.startswith("2")) / self.seconds


def run(port: int, requests: Iterable[bytes], callers: int, seconds: float) -> Seen:
    """Send these requests, each once, until they or the time are at their end."""
    with tempfile.NamedTemporaryFile(suffix=".requests") as file:
        for request in requests:
            file.write(b"%d\n" % len(request) + request)
        file.flush()
        plan = json.dumps({"port": port, "callers": callers, "seconds": seconds, "file": file.name})
        command = [sys.executable, "-m", "tests.benchmarks.load"]
        done = subprocess.run(command, cwd=ROOT, input=plan, capture_output=True, text=True, check=True)
    return Seen(**json.loads(done.stdout))


def request_bytes(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class _Caller(asyncio.Protocol):
    """One connection, one request on its way at a time. Answers have a Content-Length."""

    def __init__(self, requests: Iterator[bytes], note: Callable[[str, float], None]) -> None:
        self._requests = requests
        self._note = note
        self._buffer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)  # type: ignore[attr-defined]  # a TCP transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        start = head.lower().find(b"content-length:")
        length = int(head[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
        if len(body) >= length:
            self._buffer = body[length:]
            self._note(head[9:12].decode(), time.perf_counter() - self._sent)
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def _main(port: int, callers: int, seconds: float, file: str) -> dict[str, object]:
    requests = _read(Path(file))
    latencies: list[float] = []
    statuses: Counter[str] = Counter()
    end = time.perf_counter() + seconds

    def next_request() -> Iterator[bytes]:
        while time.perf_counter() < end:
            request = next(requests, None)
            if request is None:
                return
            yield request

    def note(status: str, latency: float) -> None:
        statuses[status] += 1
        latencies.append(latency)

    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    shared = next_request()
    pairs = [await loop.create_connection(lambda: _Caller(shared, note), "127.0.0.1", port) for _ in range(callers)]
    await asyncio.wait([caller.done for _, caller in pairs], timeout=seconds + 30)
    return {"seconds": time.perf_counter() - started, "statuses": dict(statuses), "latencies": latencies}


def _read(file: Path) -> Iterator[bytes]:
    with contextlib.closing(file.open("rb")) as source:
        while line := source.readline():
            yield source.read(int(line))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_main(**json.loads(sys.stdin.read())))))
