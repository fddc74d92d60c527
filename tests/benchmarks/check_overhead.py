"""What all checks of an accepted request cost: `python -m tests.benchmarks.check_overhead [ROUNDS]`.

The app answers in this process, on a real Redis with `appendfsync always`. Each round submits one job with everything
on and one with the checks taken out (address, key, limits, signature, replay, strict JSON, URL rules, headers, audit
line), in turns, so that a busy machine slows both. Printed are the medians and their difference, in milliseconds.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

from flask import Flask

from api import audit, auth, headers
from api.request import current_request
from coop.logs import configure_logs
from tests.support.gateway import SUBMIT, Caller, app_on, caller_on, services_of, submission
from tests.support.jobs import settings_of
from tests.support.redis_server import RedisServer

CALLBACK = {"serverInfo": {"callbackUrl": "https://example.org/api/video-result"}}


def bare_app(stack: ExitStack, redis_url: str) -> Flask:
    """The app without its checks: who asks is taken for granted."""

    def nobody_checks(app: Flask) -> None:
        @app.before_request
        def known() -> None:
            request = current_request()
            request.caller, request.address, request.message_id = known_client, "203.0.113.7", request.nonce

    with (
        mock.patch.object(auth, "install", nobody_checks),
        mock.patch.object(audit, "install"),
        mock.patch.object(audit, "finish", lambda response: response),
        mock.patch.object(headers, "install"),
    ):
        app = stack.enter_context(app_on(redis_url))
    known_client = services_of(app).clients.get("shop")
    return app


def submit(caller: Caller, request_id: str) -> tuple[float, float]:
    """Milliseconds of one accepted submit, by the clock and of this processor, without what the caller does for it."""
    content = json.dumps(submission(request_id, **CALLBACK)).encode()
    sent = {
        "Authorization": f"Bearer {caller.credentials.api_key}",
        "Content-Type": "application/json",
        **caller.signature("POST", SUBMIT, content),
    }
    client = caller.app.test_client()
    begun, worked = time.perf_counter(), time.thread_time()
    answer = client.post(SUBMIT, data=content, headers=sent, environ_base={"REMOTE_ADDR": "203.0.113.7"})
    took = time.perf_counter() - begun, time.thread_time() - worked
    assert answer.status_code == 202
    return took[0] * 1000, took[1] * 1000


def main(rounds: int) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        os.environ["COOP_REDIS_URL"] = server.url  # Celery's settings are read from there
        configure_logs(settings_of(server.url, log_format="json"))
        full = stack.enter_context(app_on(server.url))
        caller = caller_on(full)
        bare = Caller(bare_app(stack, server.url), caller.credentials)
        unchecked = (mock.patch("api.routes.submit._check_urls"), mock.patch("api.bodies.read_json"))
        pairs = []
        for number in range(-50, rounds):
            one = submit(caller, f"a{number}")
            with unchecked[0], unchecked[1]:
                other = submit(bare, f"b{number}")
            if number >= 0:
                pairs.append((one, other))
    sys.stdout.write(json.dumps({"rounds": rounds, "clock": figures(pairs, 0), "cpu": figures(pairs, 1)}) + "\n")


def figures(pairs: list[tuple[tuple[float, float], tuple[float, float]]], which: int) -> dict[str, float]:
    found = {
        "with_ms": statistics.median(one[which] for one, _ in pairs),
        "without_ms": statistics.median(other[which] for _, other in pairs),
        "checks_ms": statistics.median(one[which] - other[which] for one, other in pairs),
    }
    return {name: round(value, 3) for name, value in found.items()}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
