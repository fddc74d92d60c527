"""`make demo`: the whole service on the sample video, over real HTTP, from nothing to a verified callback.

It starts `coop up` on free ports and a folder of its own, a small video site and a callback receiver, registers a
client, submits the sample as a production server would, and prints the delivered result as JSON on stdout. All else
goes to stderr. Exit code 0 only when the callback came with a valid signature and `success: true`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jiwer
import requests
from standardwebhooks import Webhook

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from coop.progress import follow  # noqa: E402  # the folder of the project is known only now
from tests.support.callback_receiver import CallbackReceiver  # noqa: E402
from tests.support.service import ServiceError, running_service  # noqa: E402
from tests.support.sites import Site, running_site  # noqa: E402

JOB_SECONDS = 120.0
FACTS = {
    "title": "Why is your laptop so slow?",
    "description": "Three quick fixes for a slow laptop: dust, auto-start programs and a full drive.",
    "channel": "Laptop Doctor",
    "uploaded": "2026-03-14T09:26:53Z",
    "views": 651009,
    "likes": 14156,
    "duration": "PT31S",
}


class DemoError(Exception):
    """The demo did not show what it should."""


@dataclass(frozen=True)
class Caller:
    """A production server: what it was given, and how it signs."""

    gateway: str
    credentials: dict[str, str]

    def post(self, path: str, document: dict[str, Any], **headers: str) -> requests.Response:
        body = json.dumps(document)
        message_id, now = f"msg_{time.time_ns()}", datetime.now(UTC)
        signature = Webhook(self.credentials["signingSecret"]).sign(message_id, now, f"POST {path}\n{body}")
        signed = {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
            "Content-Type": "application/json",
        }
        answer = requests.post(
            self.gateway + path, body.encode(), headers={**self._key(), **signed, **headers}, timeout=JOB_SECONDS
        )
        return _good(answer)

    def get(self, url: str, **options: Any) -> requests.Response:
        return _good(requests.get(url, headers=self._key(), timeout=JOB_SECONDS, **options))

    def events(self, url: str) -> Iterator[dict[str, Any]]:
        """The job document, at the start and after each change, until the last."""
        with self.get(url, stream=True) as answer:
            for line in answer.iter_lines(chunk_size=1):
                if line.startswith(b"data:"):
                    yield json.loads(line.removeprefix(b"data:"))

    def _key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.credentials['apiKey']}"}


def main() -> int:
    started = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coop-demo-", ignore_cleanup_errors=True)))
        site = stack.enter_context(running_site())
        receiver = stack.enter_context(CallbackReceiver())
        say("starting coop up: Redis, gateway, worker, Flower")
        try:
            service = stack.enter_context(running_service(folder))
        except ServiceError as error:
            say(f"FAILED: {error}")
            return 1
        for part, address in service.addresses.items():
            say(f"  {part} {address}")
        say(f"ready after {time.monotonic() - started:.1f} s")
        credentials = service.add_client("web-demo-01", "--callback-host", "127.0.0.1")
        receiver.secret = credentials["signingSecret"]
        try:
            document = run_job(Caller(service.addresses["gateway"], credentials), site, receiver)
        except (DemoError, TimeoutError, requests.RequestException) as error:
            say(f"FAILED: {error}\n--- the end of the log\n{service.log_tail()}")
            return 1
    print(json.dumps(document, ensure_ascii=False, indent=2))
    say(f"the demo took {time.monotonic() - started:.1f} s")
    return 0


def run_job(caller: Caller, site: Site, receiver: CallbackReceiver) -> dict[str, Any]:
    """Submit the sample, watch it, and give back the delivered document, verified in every way."""
    page = site.add_video("laptop", (ROOT / "samples" / "sample.mp4").read_bytes(), **FACTS)
    request = {
        "requestId": f"req_{time.time_ns() // 1_000_000}",
        "videoUrl": page,
        "priority": "normal",
        "timestamp": datetime.now(UTC).isoformat(),
        "serverInfo": {"serverId": "web-demo-01", "callbackUrl": receiver.url},
        "options": {"language": "en", "ideas": 3},
    }
    say(f"submitting {page} as {request['requestId']}")
    submitted = time.monotonic()
    accepted = caller.post("/api/process-video", request).json()
    follow(caller.events(accepted["eventsUrl"]), sys.stderr)
    callback = receiver.wait(JOB_SECONDS)
    took = time.monotonic() - submitted
    if callback.problem:
        raise DemoError(f"the callback's signature is not valid: {callback.problem}")
    document = callback.document
    if document.get("success") is not True:
        raise DemoError(f"the job failed: {json.dumps(document.get('error'))}")
    say("the callback arrived, its signature is valid")
    job = caller.get(accepted["statusUrl"]).json()
    if job["result"] != document["result"]:
        raise DemoError("GET gives another result than the callback")
    if caller.post("/api/process-video", request, Prefer="wait=5").json() != document:
        raise DemoError("the same request again, waiting, gives another document than the callback")
    say("GET and Prefer: wait give the same result")
    report(document, job, took)
    return document


def report(document: dict[str, Any], job: dict[str, Any], took: float) -> None:
    """How well and how fast, on stderr."""
    spoken = (ROOT / "samples" / "sample.txt").read_text(encoding="utf-8")
    rate = word_error_rate(spoken, document["result"]["transcript"])
    say(f"word error rate against samples/sample.txt: {rate:.3f}")
    stages = ", ".join(f"{stage['name']} {_seconds(stage):.2f}" for stage in job["stages"] if stage["endedAt"])
    say(f"the job took {document['processingTime'] / 1000:.2f} s ({stages}), {took:.2f} s from POST to callback")


def _seconds(stage: dict[str, Any]) -> float:
    start, end = (datetime.fromisoformat(stage[moment]) for moment in ("startedAt", "endedAt"))
    return (end - start).total_seconds()


def word_error_rate(spoken: str, heard: str) -> float:
    """Of words alone: without case and punctuation."""
    plain = jiwer.Compose(
        [
            jiwer.ToLowerCase(),
            jiwer.RemovePunctuation(),
            jiwer.SubstituteRegexes({r"\s+": " "}),
            jiwer.Strip(),
            jiwer.ReduceToListOfListOfWords(),
        ]
    )
    return float(jiwer.wer(spoken, heard, reference_transform=plain, hypothesis_transform=plain))


def _good(answer: requests.Response) -> requests.Response:
    if not answer.ok:
        raise DemoError(f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text}")
    return answer


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
