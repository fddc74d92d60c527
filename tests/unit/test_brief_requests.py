"""Which requests the gateway's event loop answers, and how it sends what has no length."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from api.greenlets import run_view
from api.rsgi import _Head, _is_brief, _stream


def asked(method: str, path: str, **headers: str) -> dict[str, str]:
    return {"REQUEST_METHOD": method, "PATH_INFO": path, **headers}


def test_a_submission_is_taken_on_the_loop_unless_it_asks_to_be_held() -> None:
    assert _is_brief(asked("POST", "/api/process-video"))
    assert not _is_brief(asked("POST", "/api/process-video", HTTP_PREFER="wait=30"))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/jobs"),
        ("GET", "/api/jobs/r1"),
        ("GET", "/api/jobs/r1/events"),
        ("GET", "/api/jobs/r1/transcript.srt"),
        ("POST", "/api/jobs/r1/retry"),
        ("DELETE", "/api/jobs/r1"),
        ("GET", "/metrics"),
        ("GET", "/docs"),
    ],
)
def test_what_is_held_large_or_rare_is_left_to_threads(method: str, path: str) -> None:
    assert not _is_brief(asked(method, path))


class _Protocol:
    """As much of granian's as a streamed answer uses."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def response_stream(self, _status: int, _fields: list[tuple[str, str]]) -> _Protocol:
        return self

    async def send_bytes(self, data: bytes) -> None:
        await asyncio.sleep(0)
        self.sent.append(data)


def test_an_answer_without_a_length_does_not_hold_the_loop_up() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"one"
        yield b"two"

    async def scene() -> list[bytes]:
        protocol, loop = _Protocol(), asyncio.get_running_loop()
        async with asyncio.timeout(5):
            await run_view(_stream, protocol, _Head(), chunks(), loop)  # type: ignore[arg-type]
        return protocol.sent

    assert asyncio.run(scene()) == [b"one", b"two"]
