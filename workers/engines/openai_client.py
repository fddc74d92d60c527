"""The one seam of the `openai` package: clients, deadlines, cancelling, and what its errors mean to a job.

Calls run as coroutines on one event loop in a thread of its own, while the stage's thread waits for them. That is what
makes a blocked call stoppable: a coroutine that is cancelled closes its connection at once, on every system, where a
thread that is blocked in a socket can only be left behind. It also bounds a call by its whole duration: a server that
sends a byte now and then never trips a socket timeout.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from coop.backoff import retry_after_seconds
from coop.errors import JobError
from coop.settings import Settings
from workers.engines.deadline import Deadline

if TYPE_CHECKING:
    import openai  # takes a second and 36 MiB, so a worker that never asks a server does not load it

OPENAI_BASE_URL = "https://api.openai.com/v1"
# How often a waiting stage looks whether it was cancelled.
_LOOK_SECONDS = 0.2
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_PASSING_STATUSES = frozenset({408, 409, 425, 429})

_log = logging.getLogger(__name__)


class RawResponse(Protocol):
    """The part of the package's raw responses that is read here."""

    @property
    def text(self) -> str: ...


Send = Callable[["openai.AsyncOpenAI", float], Awaitable[RawResponse]]


@dataclass(frozen=True)
class Endpoint:
    """A server that speaks OpenAI's API. `failure`: the JOB_ERRORS code of what goes wrong there."""

    base_url: str
    api_key: str = field(repr=False)
    timeout_seconds: float
    failure: str


def transcription_endpoint(settings: Settings) -> Endpoint:
    key = settings.transcribe_api_key or settings.openai_api_key
    return _endpoint(
        settings.transcribe_base_url or settings.openai_base_url,
        key.get_secret_value() if key else None,
        settings.transcribe_timeout_seconds,
        "transcription_failed",
    )


def text_endpoint(settings: Settings) -> Endpoint:
    key = settings.text_api_key or settings.openai_api_key
    return _endpoint(
        settings.text_base_url or settings.openai_base_url,
        key.get_secret_value() if key else None,
        settings.text_timeout_seconds,
        "analysis_failed",
    )


def _endpoint(base_url: str | None, key: str | None, timeout_seconds: float, failure: str) -> Endpoint:
    if key is None and base_url is None:
        raise JobError("engine_auth", "The engine openai is chosen, but no API key is set.")
    # A server of one's own (Ollama, vLLM) often takes no key, but the client insists on sending one.
    return Endpoint(base_url or OPENAI_BASE_URL, key or "none", timeout_seconds, failure)


def ask(endpoint: Endpoint, send: Send, deadline: Deadline) -> str:
    """The body of the server's answer to `send(client, timeout_seconds)`.

    Raises Cancelled within a second of the cancelling, and JobError: `endpoint.failure` (passing where another try can
    help, with the server's Retry-After), `engine_auth`, `engine_quota`, `timed_out` at the deadline.
    """
    deadline.check()
    return _wait(_send(endpoint, send), deadline)


def prepare(endpoint: Endpoint, deadline: Deadline) -> None:
    """Load what the first call to the server would wait for. Nothing is sent."""

    async def load() -> str:
        _client(endpoint.base_url, endpoint.api_key)
        return ""

    _wait(load(), deadline)


async def _send(endpoint: Endpoint, send: Send) -> str:
    """One request. It is not sent again here: the pipeline tries again, by its policy, and each try may cost money."""
    import openai

    timeout = endpoint.timeout_seconds
    try:
        async with asyncio.timeout(timeout):
            return (await send(_client(endpoint.base_url, endpoint.api_key), timeout)).text
    except (openai.APITimeoutError, TimeoutError) as error:
        raise JobError(endpoint.failure, "The engine's server did not answer in time.", passing=True) from error
    except openai.APIConnectionError as error:
        raise JobError(endpoint.failure, "The engine's server cannot be reached.", passing=True) from error
    except openai.APIStatusError as error:
        raise _explain(error, endpoint) from error


def _explain(error: openai.APIStatusError, endpoint: Endpoint) -> JobError:
    """What an HTTP error of the server means to the job."""
    status, code = error.status_code, error.code or error.type
    # The server's own words go to the operator's log only: they may quote the key or the request.
    _log.warning(
        "engine's server answered %s (%s): %s", status, code, error.message.replace(endpoint.api_key, "***")[:500]
    )
    if code in _QUOTA_CODES or error.type in _QUOTA_CODES:
        return JobError("engine_quota")
    if status in (401, 403):
        return JobError("engine_auth")
    passing = status in _PASSING_STATUSES or status >= 500
    retry_after = retry_after_seconds(error.response.headers.get("retry-after")) if passing else None
    message = f"The engine's server answered {status}" + (f" ({code})." if code else ".")
    return JobError(endpoint.failure, message, passing=passing, retry_after=retry_after)


def _wait(call: Coroutine[Any, Any, str], deadline: Deadline) -> str:
    future = asyncio.run_coroutine_threadsafe(call, _loop())
    while True:
        try:
            return future.result(min(_LOOK_SECONDS, deadline.remaining()))
        except TimeoutError:
            continue  # of the look; a call that times out ends in JobError
        except JobError:
            future.cancel()  # closes the connection where the deadline or a cancelling raised it
            raise


_starting = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    """The event loop of this process's calls, one for all its threads: a client works on the loop it began on."""
    with _starting:
        return _started_loop()


@functools.cache
def _started_loop() -> asyncio.AbstractEventLoop:
    """A loop whose thread ends with the process."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="openai-calls", daemon=True).start()
    return loop


@functools.cache
def _client(base_url: str, api_key: str) -> openai.AsyncOpenAI:
    """One for all calls to a server: it takes 40 ms to make, and its connections are kept for the next call."""
    import openai

    return openai.AsyncOpenAI(api_key=api_key, base_url=base_url, max_retries=0)
