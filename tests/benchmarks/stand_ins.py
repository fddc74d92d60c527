"""The remote parts, in a process of their own: a video site, a transcription and a text API, a callback endpoint.

`python -m tests.benchmarks.stand_ins '{"metadata": 2.5, …}'` prints its port and serves until its input ends. Each
answer comes after its delay, ± 30 %, drawn anew for each request. It is one asyncio loop, so that it takes little of
the machine that is measured. `POST /callback` answers 204; `GET /seen` lists the callbacks: [[path, Unix time], …].
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.support.openai_server import OpenAIServer, Request
from tests.support.sites import watch_page

ROOT = Path(__file__).parents[2]
REAL_DAY = {"metadata": 2.5, "download": 8.0, "transcribe": 15.0, "analyze": 5.0, "ideas": 7.0, "deliver": 0.5}
NONE = dict.fromkeys(REAL_DAY, 0.0)
SPREAD = 0.3
KEY = "sk-benchmark"

_SAMPLE = ROOT / "samples" / "sample.mp4"
_SPOKEN = (ROOT / "samples" / "sample.txt").read_text(encoding="utf-8").strip()
_SCHEMAS = {"video": "analyze", "silent_video": "analyze", "video_ideas": "ideas"}
_ANALYSIS = {
    "entry_style": "statement",
    "niche": "technology",
    "structure": "list",
    "emotion": "informative",
}
_REASONS = {200: "OK", 204: "No Content", 404: "Not Found"}


@dataclass(frozen=True)
class StandIns:
    """Where they are, and the delays that they were started with."""

    port: int
    delays: dict[str, float]
    process: subprocess.Popen[str]

    def page(self, name: object) -> str:
        return f"http://127.0.0.1:{self.port}/watch/{name}"

    def callback(self, name: object) -> str:
        return f"http://127.0.0.1:{self.port}/callback/{name}"

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def seen(self) -> dict[str, float]:
        """When the callback of each name came, Unix time."""
        rows = requests.get(f"http://127.0.0.1:{self.port}/seen", timeout=10).json()
        return {path.removeprefix("/callback/"): moment for path, moment in rows}


@contextmanager
def running(delays: dict[str, float]) -> Iterator[StandIns]:
    command = [sys.executable, "-m", "tests.benchmarks.stand_ins", json.dumps(delays)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield StandIns(int(process.stdout.readline()), delays, process)
    finally:
        assert process.stdin
        process.stdin.close()
        process.wait(10)


class _Answers:
    """What is answered to each kind of request, made once."""

    def __init__(self, delays: dict[str, float]) -> None:
        self._delays = delays
        self._media = _SAMPLE.read_bytes()
        self._api = OpenAIServer(KEY)
        self._api.says = _SPOKEN
        # The words that the video opens with: the service asks a second time for a hook that is not there.
        self._api.answers["video"] = {**_ANALYSIS, "hook": _SPOKEN.partition(".")[0]}
        self._transcription = self._api.reply_to(self._asked("transcriptions", _TRANSCRIPTION)).body
        self._completions: dict[str, bytes] = {}
        self._chance = random.Random(7)
        self.seen: list[tuple[str, float]] = []

    async def to(self, path: str, host: str, body: bytes) -> tuple[int, str, bytes]:
        """Status, content type and body, once the delay of that kind is over."""
        kind, _, name = path.strip("/").partition("/")
        if kind == "watch":
            await self._delay("metadata")
            media_url = f"http://{host}/media/{name}.mp4"
            return 200, "text/html", watch_page(media_url, title=f"Video {name}", duration="PT31S").encode()
        if kind == "media":
            await self._delay("download")
            return 200, "video/mp4", self._media
        if path == "/v1/audio/transcriptions":
            await self._delay("transcribe")
            return 200, "application/json", self._transcription
        if path == "/v1/chat/completions":
            stage, answer = self._completion(json.loads(body))
            await self._delay(stage)
            return 200, "application/json", answer
        if kind == "callback":
            self.seen.append((path, time.time()))
            await self._delay("deliver")
            return 204, "text/plain", b""
        if kind == "seen":
            return 200, "application/json", json.dumps(self.seen).encode()
        return 404, "text/plain", b""

    async def _delay(self, stage: str) -> None:
        if self._delays[stage]:
            await asyncio.sleep(self._delays[stage] * self._chance.uniform(1 - SPREAD, 1 + SPREAD))

    def _completion(self, fields: dict[str, Any]) -> tuple[str, bytes]:
        name = fields["response_format"]["json_schema"]["name"]
        if name not in self._completions:
            reply = self._api.reply_to(self._asked("chat", fields))
            assert reply.status == 200, reply.body
            self._completions[name] = reply.body
        return _SCHEMAS[name], self._completions[name]

    def _asked(self, endpoint: str, fields: dict[str, Any]) -> Request:
        upload = ("audio.m4a", b"sound") if endpoint == "transcriptions" else (None, None)
        return Request(endpoint, {"authorization": f"Bearer {KEY}"}, fields, *upload)


_TRANSCRIPTION = {"model": "whisper-1", "response_format": "verbose_json", "timestamp_granularities": ["segment"]}


async def _serve(answers: _Answers, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            line, *rest = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (row.partition(": ") for row in rest)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            status, kind, content = await answers.to(line.split()[1], headers["host"], body)
            head_out = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}"
            writer.write(f"{head_out}\r\n\r\n".encode() + content)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        pass  # the caller has hung up, or the measurement is over
    finally:
        writer.close()


async def _main(delays: dict[str, float]) -> None:
    answers = _Answers(delays)
    server = await asyncio.start_server(lambda *ends: _serve(answers, *ends), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1])))
