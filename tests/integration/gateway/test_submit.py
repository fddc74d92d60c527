from __future__ import annotations

import json
import re
import threading
from typing import Any

import pytest
import redis
from flask import Flask

from coop.errors import JobError
from coop.job_store import JobStore
from coop.jobs import Stage
from tests.support.fleet import eventually
from tests.support.gateway import SUBMIT, Caller, app_on, caller_on, problem, submission
from tests.support.jobs import advance_to, claimed
from tests.support.redis_server import RedisServer

CALLBACK = {"serverInfo": {"serverId": "web-1", "callbackUrl": "https://example.org/cb"}}


@pytest.mark.parametrize("host", ["localhost:", "ex_ample.org", "a b"])
def test_a_host_that_makes_no_sense_is_not_in_the_addresses_that_are_told(caller: Caller, host: str) -> None:
    body = json.dumps(submission("r1")).encode()

    answer = caller.send("POST", SUBMIT, body, headers={"Host": host})

    assert re.fullmatch(r"http://[\w.]+(:\d+)?/api/jobs/r1", answer.get_json()["statusUrl"])


def test_a_job_is_accepted_as_the_contract_says(caller: Caller, store: JobStore) -> None:
    answer = caller.submit("r:1", timestamp="2026-11-22T09:48:20Z", options={"ideas": 2}, **CALLBACK)

    assert answer.status_code == 202
    assert answer.get_json() == {
        "success": True,
        "requestId": "r:1",
        "status": "queued",
        "statusUrl": "http://localhost/api/jobs/r:1",
        "eventsUrl": "http://localhost/api/jobs/r:1/events",
        "queuePosition": 0,
        "estimatedSeconds": 30,
    }
    job = store.get("shop:r:1")
    assert job is not None
    assert (job.options.ideas, job.delivery.url) == (2, "https://example.org/cb")


def test_an_accepted_job_has_its_message(caller: Caller, redis_client: redis.Redis) -> None:
    caller.submit("r1", priority="high")

    assert redis_client.llen("coop.metadata") == 1


def test_urls_are_those_of_the_public_address(redis_client: redis.Redis, redis_server: RedisServer) -> None:
    with app_on(redis_server.url, public_url="https://coop.example.org/") as app:
        answer = caller_on(app).submit("r1")

    assert answer.headers["Location"] == answer.get_json()["statusUrl"] == "https://coop.example.org/api/jobs/r1"


def test_the_same_request_again_is_the_same_job(caller: Caller, redis_client: redis.Redis) -> None:
    first = caller.submit("r1", timestamp="2026-11-22T09:48:20Z")
    again = caller.submit("r1", timestamp="2026-11-22T09:50:00Z", priority="normal", apiKey="x")

    assert again.status_code == 202
    assert again.get_json() == first.get_json()
    assert ("Idempotent-Replay" in first.headers, again.headers["Idempotent-Replay"]) == (False, "true")
    assert redis_client.llen("coop.metadata\x06\x165") == 1


@pytest.mark.parametrize(
    "change",
    [{"priority": "high"}, {"options": {"ideas": 4}}, {"videoUrl": "https://v.example.org/2"}, CALLBACK],
    ids=str,
)
def test_another_request_under_the_same_id_is_a_conflict(caller: Caller, change: dict[str, Any]) -> None:
    caller.submit("r1")

    problem(caller.submit("r1", **change), 409, "request_id_conflict")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"requestId":"a","requestId":"b","videoUrl":"https://x.org/"}',
        b'{"requestId":"r1","videoUrl":"https://x.org/","options":{"ideas":NaN}}',
        b'{"requestId":"r1","videoUrl":"https://x.org/","options":{"ideas":Infinity}}',
        b"[" * 30_000,
        b'{"requestId":"\xff"}',
        '{"requestId":"r1"}'.encode("utf-16"),
        b'\xef\xbb\xbf{"requestId":"r1"}',
        b'{"requestId":"r1","videoUrl":"https://x.org/\\ud800"}',
        b'{"a":' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_what_is_not_strictly_json_is_malformed(caller: Caller, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    if not _is_text(body):
        headers.update(caller.signature("POST", SUBMIT, b""))

    problem(caller.send("POST", SUBMIT, body, signed=_is_text(body), headers=headers), 400, "malformed_json")


def _is_text(body: bytes) -> bool:
    try:
        return bool(body.decode()) or True
    except UnicodeDecodeError:
        return False


def test_wrong_fields_are_named_and_not_repeated(caller: Caller) -> None:
    told = problem(caller.submit("a b", options={"ideas": 0}, typo="hush"), 422, "invalid_request")

    assert {error["field"] for error in told["errors"]} == {"requestId", "options.ideas", "typo"}
    assert "hush" not in str(told)


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"text"'])
def test_json_that_is_no_object_does_not_fit(caller: Caller, body: bytes) -> None:
    problem(caller.send("POST", SUBMIT, body), 422, "invalid_request")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://127.0.0.1/", "http://user:pw@example.org/", "http://[::1]/", "http://0x7f.1/"]
)
def test_addresses_that_may_not_be_reached_are_refused(caller: Caller, url: str) -> None:
    by_video = problem(caller.submit("r1", videoUrl=url), 422, "url_not_allowed")
    by_callback = problem(caller.submit("r1", serverInfo={"callbackUrl": url}), 422, "url_not_allowed")

    assert [told["errors"][0]["field"] for told in (by_video, by_callback)] == ["videoUrl", "serverInfo.callbackUrl"]


def test_a_body_above_the_limit_is_too_large(caller: Caller) -> None:
    problem(caller.send("POST", SUBMIT, b" " * (64 * 1024 + 1)), 413, "body_too_large")


def test_another_media_type_is_not_supported(caller: Caller) -> None:
    answer = caller.send("POST", SUBMIT, submission(), headers={"Content-Type": "text/plain"})

    problem(answer, 415, "unsupported_media_type")


def test_a_full_queue_says_when_to_come_again(redis_client: redis.Redis, redis_server: RedisServer) -> None:
    with app_on(redis_server.url, max_queue="1") as app:
        caller = caller_on(app)
        caller.submit("r1")
        answer = caller.submit("r2")

    problem(answer, 429, "queue_full")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_wait_that_runs_out_is_answered_with_the_acceptance(caller: Caller) -> None:
    answer = caller.submit("r1", prefer="wait=0")

    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "wait=0")


def test_a_wait_is_bounded_by_the_setting(redis_client: redis.Redis, redis_server: RedisServer) -> None:
    with app_on(redis_server.url, max_wait_seconds="0") as app:
        answer = caller_on(app).submit("r1", prefer="wait=999")

    assert answer.headers["Preference-Applied"] == "wait=0"


def test_a_held_request_is_answered_with_the_result_as_soon_as_it_is_there(caller: Caller, store: JobStore) -> None:
    answers: list[Any] = []
    held = threading.Thread(target=lambda: answers.append(caller.submit("r1", prefer="wait=60")))
    held.start()
    eventually(lambda: store.get("shop:r1"))
    advance_to(store, Stage.DELIVER)
    held.join(timeout=20)

    assert [answer.status_code for answer in answers] == [200]
    assert answers[0].get_data() == store.outcome("shop:r1")


def test_a_failed_job_ends_the_wait_too(caller: Caller, store: JobStore) -> None:
    caller.submit("r1")
    store.fail(claimed(store), JobError("video_private"), {})
    answer = caller.submit("r1", prefer="wait=60")

    assert (answer.status_code, answer.get_json()["error"]["code"]) == (200, "video_private")
    assert answer.headers["Idempotent-Replay"] == "true"


def test_beyond_the_places_for_held_requests_the_answer_comes_at_once(
    redis_client: redis.Redis, redis_server: RedisServer
) -> None:
    with app_on(redis_server.url, gateway_threads="4") as app:
        caller = caller_on(app)
        _hold_all(app)
        answer = caller.submit("r1", prefer="wait=60")
        refused = caller.get("/api/jobs/r1/events")

    assert answer.status_code == 202
    problem(refused, 503, "unavailable")


def _hold_all(app: Flask) -> None:
    holds = app.extensions["coop"].holds
    while holds.take():
        pass
