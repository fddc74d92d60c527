"""The client for callers in Python.

    coop = Coop("https://coop.example.org", api_key, signing_secret)
    coop.submit("https://www.youtube.com/shorts/…", request_id="req_1")
    print(coop.wait("req_1")["result"]["transcript"])

Documents are the plain JSON of the wire (`docs/api.md`), so that a newer gateway's fields are not lost.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests

from coop.webhooks import InvalidSignature, sign_request
from coop.webhooks import verify_callback as _verify_callback

__all__ = ["Coop", "CoopError", "InvalidSignature", "Unreachable"]

Document = dict[str, Any]

_CONNECT_SECONDS = 10.0
_READ_SECONDS = 30.0
_HEARTBEAT_SECONDS = 45.0  # three times the gateway's: a stream that is silent for longer is dead
_PAUSE_SECONDS = 1.0


@dataclass
class CoopError(Exception):
    """The gateway refused. `problem` is its RFC 9457 document; `retry_after` is in seconds."""

    problem: Document
    retry_after: float | None = None

    @property
    def code(self) -> str:
        return str(self.problem.get("code", "internal"))

    @property
    def status(self) -> int:
        return int(self.problem.get("status", 500))

    def __str__(self) -> str:
        fields = "".join(f"; {error['field']}: {error['detail']}" for error in self.problem.get("errors") or ())
        return f"{self.code}: {self.problem.get('detail', '')}{fields}"


class Unreachable(Exception):
    """The gateway could not be reached, or went away in the middle of its answer; the same submit may be sent again."""


class Coop:
    """One registered client of one gateway. It may be used by several threads. Every method raises CoopError and
    Unreachable."""

    def __init__(self, base_url: str, api_key: str, signing_secret: str) -> None:
        self.base_url = base_url.rstrip("/")
        self._secret = signing_secret
        self._headers = {"Authorization": f"Bearer {api_key}"}

    def submit(
        self,
        video_url: str,
        *,
        request_id: str | None = None,
        priority: str = "normal",
        callback_url: str | None = None,
        options: Mapping[str, Any] | None = None,
        wait_seconds: int = 0,
    ) -> Document:
        """Have a video understood. Returns the acceptance, or the final document if the job ended in `wait_seconds`.

        The same `request_id` again with the same request is the same job; made up when it is None.
        """
        body: Document = {
            "requestId": request_id or f"req_{secrets.token_hex(12)}",
            "videoUrl": video_url,
            "priority": priority,
            "options": dict(options or {}),
        }
        if callback_url:
            body["serverInfo"] = {"callbackUrl": callback_url}
        headers = {"Prefer": f"wait={wait_seconds}"} if wait_seconds else {}
        answer = self._send("POST", "/api/process-video", body, headers, _READ_SECONDS + wait_seconds)
        document: Document = answer.json()
        return document

    def job(self, request_id: str) -> Document:
        """Where a job is, and its result once it has one."""
        return self._document("GET", _path(request_id))

    def jobs(self, status: str | None = None, limit: int = 20, cursor: str | None = None) -> Document:
        """A page of jobs, newest first: `jobs`, and the `nextCursor` of the next page."""
        query = {"status": status, "limit": limit, "cursor": cursor}
        answer = self._send("GET", "/api/jobs", query={name: value for name, value in query.items() if value})
        page: Document = answer.json()
        return page

    def events(self, request_id: str) -> Iterator[Document]:
        """The job's document now and after each change, until nothing more will change."""
        return (document for document in self._stream(request_id, _HEARTBEAT_SECONDS) if document is not None)

    def changes(
        self, request_id: str, timeout_seconds: float | None = None, *, reconnects: int | None = None
    ) -> Iterator[Document]:
        """Like `events`, also past a gateway that restarts or is too busy. Raises TimeoutError, and Unreachable after
        so many failures in a row; None: it is tried again and again."""
        patience = _Patience(timeout_seconds, reconnects)
        while True:
            try:
                for document in self._stream(request_id, patience.seconds_left()):
                    patience.failures = 0
                    if document:
                        yield document
                        if document["endedAt"] and document["delivery"]["status"] != "pending":
                            return
                    patience.seconds_left()
            except (Unreachable, CoopError) as error:
                patience.bear(error)
            else:
                patience.pause(_PAUSE_SECONDS)  # the gateway ended the stream: it stops, and another one starts

    def wait(self, request_id: str, timeout_seconds: float | None = None) -> Document:
        """The job's document once it has ended. Outlives a gateway that restarts; raises TimeoutError."""
        patience = _Patience(timeout_seconds)
        for document in self.changes(request_id, timeout_seconds):
            if document["endedAt"]:
                break
        while True:
            try:
                return self.job(request_id)
            except (Unreachable, CoopError) as error:
                patience.bear(error)

    def _stream(self, request_id: str, silence_seconds: float) -> Iterator[Document | None]:
        """The events, and None for each heartbeat between them."""
        path = f"{_path(request_id)}/events"
        with self._send("GET", path, read_seconds=silence_seconds, stream=True) as answer:
            try:
                for line in answer.iter_lines():
                    if line.startswith((b"data: ", b":")):
                        yield json.loads(line[len(b"data: ") :]) if line.startswith(b"data: ") else None
            except requests.RequestException as error:
                raise Unreachable(str(error)) from error

    def transcript(self, request_id: str, form: str = "txt") -> str:
        """What is said, as `txt`, `srt` or `vtt`."""
        answer = self._send("GET", f"{_path(request_id)}/transcript.{form}")
        answer.encoding = "utf-8"
        return answer.text

    def cancel(self, request_id: str) -> Document:
        return self._document("DELETE", _path(request_id))

    def retry(self, request_id: str) -> Document:
        """Drive a job that failed or was cancelled again."""
        return self._document("POST", f"{_path(request_id)}/retry")

    def redeliver(self, request_id: str) -> Document:
        """Send the result to the callback URL again."""
        return self._document("POST", f"{_path(request_id)}/redeliver")

    def verify_callback(self, headers: Mapping[str, str], body: bytes) -> Document:
        """The result document of a callback that arrived. Raises InvalidSignature."""
        return _verify_callback(self._secret, headers, body)

    def _document(self, method: str, path: str) -> Document:
        document: Document = self._send(method, path).json()
        return document

    def _send(
        self,
        method: str,
        path: str,
        body: Document | None = None,
        headers: Mapping[str, str] | None = None,
        read_seconds: float = _READ_SECONDS,
        *,
        query: Mapping[str, Any] | None = None,
        stream: bool = False,
    ) -> requests.Response:
        content = b"" if body is None else json.dumps(body).encode()
        sent = {**self._headers, **(headers or {}), **self._signature(method, path, content)}
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            answer = requests.request(
                method,
                self.base_url + path,
                params=query,
                data=content or None,
                headers=sent,
                timeout=(_CONNECT_SECONDS, read_seconds),
                stream=stream,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise Unreachable(str(error)) from error
        if not answer.ok:
            raise _refusal(answer)
        return answer

    def _signature(self, method: str, path: str, body: bytes) -> dict[str, str]:
        if method == "GET":
            return {}
        return sign_request(self._secret, method, path, body, f"msg_{secrets.token_hex(16)}", int(time.time()))


def _path(request_id: str) -> str:
    return f"/api/jobs/{quote(request_id, safe=':')}"


class _Patience:
    """With a gateway that is away or too busy: how long it is waited for, and how often it is asked again."""

    def __init__(self, timeout_seconds: float | None, reconnects: int | None = None) -> None:
        self._end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        self._reconnects = reconnects
        self.failures = 0

    def seconds_left(self) -> float:
        """At most what a stream may be silent. Raises TimeoutError when there are none."""
        left = _HEARTBEAT_SECONDS if self._end is None else self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the job has not ended in time")
        return min(left, _HEARTBEAT_SECONDS)

    def bear(self, error: Unreachable | CoopError) -> None:
        """Wait before it is asked again. Raises the error when that is of no use."""
        if isinstance(error, CoopError):
            if error.retry_after is None:
                raise error
            self.pause(error.retry_after)
            return
        self.failures += 1
        if self._reconnects is not None and self.failures > self._reconnects:
            raise error
        self.pause(_PAUSE_SECONDS)

    def pause(self, seconds: float) -> None:
        time.sleep(min(seconds, self.seconds_left()))


def _refusal(answer: requests.Response) -> CoopError:
    """The gateway's problem document, or one for what a proxy before it answered."""
    try:
        problem = answer.json()
    except requests.JSONDecodeError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"status": answer.status_code, "code": "internal", "detail": f"HTTP {answer.status_code}"}
    wait = answer.headers.get("Retry-After", "")
    return CoopError(problem, float(wait) if wait.isascii() and wait.isdigit() else None)
