"""The stage deliver: one POST of the outcome to the callback URL, as a Standard Webhooks message."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass

import requests

from coop import webhooks
from coop.backoff import retry_after_seconds
from coop.egress import CallbackSession
from coop.errors import JobError
from coop.settings import Settings
from workers.engines.deadline import Deadline

_LOOK_SECONDS = 0.2
_ERROR_LENGTH = 200
# Between two bytes of an answer; the deadline bounds the whole.
_SILENCE_SECONDS = 15.0
_CONNECT_SECONDS = 10.0
_HEADERS = {"Content-Type": "application/json", "User-Agent": "coop-callback"}


@dataclass(frozen=True)
class Message:
    """A signed POST: the same id and body on every attempt. `sent_at`: Unix seconds by Redis' clock; `trace`: the id
    of the request that the job came with, empty for jobs of an older version."""

    url: str
    message_id: str
    body: bytes
    secrets: tuple[str, ...]
    sent_at: int
    trace: str = ""


@dataclass(frozen=True)
class Answer:
    """What came of it. `status` is None without an answer, and `error` says why; `retry_after` in seconds.

    `is_final`: nothing was sent, and nothing ever can be.
    """

    status: int | None
    error: str | None
    milliseconds: int
    retry_after: float | None = None
    is_final: bool = False

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_unwanted(self) -> bool:
        """No further attempt is wanted: 410 Gone says so."""
        return self.is_final or self.status == 410


def run(message: Message, settings: Settings, deadline: Deadline) -> Answer:
    """Send it once. Redirects are not followed, the answer's body is not read. Raises Cancelled."""
    started = time.monotonic()
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    session = CallbackSession(settings)

    def post() -> None:
        with session:
            answers.put(_post(message, session, started))

    threading.Thread(target=post, name="callback", daemon=True).start()
    try:
        return _wait(answers, deadline, started)
    finally:
        # A receiver that sends a byte now and then never trips a socket timeout.
        session.abort()


def _wait(answers: queue.SimpleQueue[Answer], deadline: Deadline, started: float) -> Answer:
    while True:
        try:
            return answers.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            try:
                deadline.check()
            except JobError as error:
                if error.code != "timed_out":
                    raise
                return Answer(None, "no answer in time", _milliseconds_since(started))


def _post(message: Message, session: requests.Session, started: float) -> Answer:
    headers = webhooks.sign_callback(message.secrets, message.message_id, message.sent_at, message.body)
    try:
        with session.post(
            message.url,
            data=message.body,
            headers={**_HEADERS, **_trace(message), **headers},
            timeout=(_CONNECT_SECONDS, _SILENCE_SECONDS),
            allow_redirects=False,
            stream=True,
        ) as response:
            now = message.sent_at + time.monotonic() - started
            status, retry_after = response.status_code, retry_after_seconds(response.headers.get("Retry-After"), now)
    except JobError as error:
        return Answer(None, str(error), _milliseconds_since(started))
    except (requests.RequestException, OSError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"[:_ERROR_LENGTH]
        return Answer(None, reason, _milliseconds_since(started))
    error_text = None if 200 <= status < 300 else f"HTTP {status}"
    return Answer(status, error_text, _milliseconds_since(started), retry_after if status in (429, 503) else None)


def _trace(message: Message) -> dict[str, str]:
    return {"X-Request-Id": message.trace} if message.trace else {}


def _milliseconds_since(started: float) -> int:
    return int((time.monotonic() - started) * 1000)
