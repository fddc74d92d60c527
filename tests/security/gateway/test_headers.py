"""The headers of every answer, whatever it is; no cookie in any."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.support.gateway import Caller, app_on
from tests.support.redis_server import RedisServer

SECURITY = {
    "Server": "coop",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
ORIGIN = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST", "Cookie": "session=planted"}


def answers(caller: Caller) -> Iterator[TestResponse]:
    """One of each kind: 2xx, 4xx, public, unknown, a stream, a preflight."""
    yield caller.submit("r1")
    yield caller.send("POST", "/api/process-video", b"{", headers=ORIGIN)
    yield caller.send("POST", "/api/process-video", b" " * 70_000)
    for path in ("/api/jobs", "/api/jobs/r1", "/api/jobs/nope", "/api/jobs/r1/events", "/docs", "/docs/docs.js"):
        yield caller.send("GET", path, headers=ORIGIN)
    for path in ("/openapi.json", "/metrics", "/health/live", "/health/ready", "/nowhere", "/api/jobs?limit=x"):
        yield caller.send("GET", path, headers=ORIGIN)
    yield caller.get("/api/jobs", Authorization="Bearer wrong")
    yield caller.send("OPTIONS", "/api/process-video", headers=ORIGIN)
    yield caller.send("HEAD", "/docs")


def test_every_answer_has_the_security_headers(caller: Caller) -> None:
    for answer in answers(caller):
        sent = {name: answer.headers.get(name) for name in SECURITY}
        assert sent == SECURITY, answer.request.path
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        answer.close()


def test_every_answer_tells_the_limits_and_its_id(caller: Caller) -> None:
    for answer in answers(caller):
        policy, standing = answer.headers["RateLimit-Policy"], answer.headers["RateLimit"]
        assert policy.partition(";")[0] == standing.partition(";")[0]
        assert answer.headers["X-Request-Id"]
        answer.close()


def test_no_answer_is_for_another_origin_and_none_sets_a_cookie(caller: Caller) -> None:
    for answer in answers(caller):
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")]
        assert "Set-Cookie" not in answer.headers
        answer.close()


def test_a_cookie_is_never_a_credential(caller: Caller) -> None:
    cookie = f"Authorization=Bearer {caller.credentials.api_key}; apiKey={caller.credentials.api_key}"

    assert caller.send("GET", "/api/jobs", headers={"Authorization": "", "Cookie": cookie}).status_code == 401


def test_also_a_gateway_without_redis_sends_the_headers(own_redis: RedisServer) -> None:
    with app_on(own_redis.url) as app:
        own_redis.kill()
        answer = app.test_client().get("/api/jobs", headers={"Authorization": "Bearer x"})

    assert answer.status_code == 503
    assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY


@pytest.mark.parametrize(
    ("sent", "comes_back"), [("trace-1.a_B", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("<x>", False)]
)
def test_the_callers_id_of_a_request_comes_back_if_it_makes_sense(app: Flask, sent: str, comes_back: bool) -> None:
    answer = app.test_client().get("/docs", headers={"X-Request-Id": sent})

    assert (answer.headers["X-Request-Id"] == sent) is comes_back
    assert 1 <= len(answer.headers["X-Request-Id"]) <= 64


def test_behind_https_browsers_are_told_to_stay_there(redis_server: RedisServer) -> None:
    with app_on(redis_server.url, public_url="https://coop.example.org") as behind, app_on(redis_server.url) as plain:
        sent = [app.test_client().get("/docs").headers.get("Strict-Transport-Security") for app in (behind, plain)]

    assert sent == ["max-age=63072000", None]
