"""Limits: of clients, of addresses that fail, of the queue."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter

import pytest
import redis
from flask import Flask

from api.limits import FAILURES_PER_MINUTE, PUBLIC_PER_MINUTE
from api.rate_windows import RateWindows
from tests.support.gateway import SUBMIT, Caller, app_on, caller_on, problem, services_of, submission
from tests.support.redis_server import RedisServer

STANDING = re.compile(r'"([\w-]+)";r=(\d+);t=(\d+)')


def standing(answer: object) -> tuple[str, int, int]:
    name, remaining, seconds = STANDING.fullmatch(answer.headers["RateLimit"]).groups()  # type: ignore[attr-defined,union-attr]  # an answer's
    return name, int(remaining), int(seconds)


def test_a_client_that_passes_its_rate_is_told_when_to_come_again(app: Flask) -> None:
    slow = caller_on(app, "slow", rate=3)
    answers = [slow.get("/api/jobs") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [standing(answer)[:2] for answer in answers] == [("client", left) for left in (2, 1, 0, 0)]
    assert answers[0].headers["RateLimit-Policy"] == '"client";q=3;w=60'
    problem(answers[3], 429, "rate_limited")
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 60
    assert standing(answers[3])[2] == int(answers[3].headers["Retry-After"])


def test_a_rate_is_of_one_client_and_of_one_route(app: Flask, caller: Caller) -> None:
    slow = caller_on(app, "slow", rate=1)
    slow.get("/api/jobs")
    problem(slow.get("/api/jobs"), 429, "rate_limited")

    assert slow.submit("r1").status_code == 202
    assert slow.get("/api/jobs/r1").status_code == 200
    assert caller.get("/api/jobs").status_code == 200


def test_a_window_ends(app: Flask, redis_client: redis.Redis) -> None:
    slow = caller_on(app, "slow", rate=1)
    slow.get("/api/jobs")
    (key,) = redis_client.keys("coop:rate:*")
    assert 0 < redis_client.ttl(key) <= 60

    redis_client.delete(key)  # what its end does
    assert slow.get("/api/jobs").status_code == 200


def test_what_is_over_the_rate_costs_no_signature(app: Flask) -> None:
    slow = caller_on(app, "slow", rate=1)
    slow.submit("r1")
    headers = slow.signature("POST", SUBMIT, b"{}")

    problem(slow.send("POST", SUBMIT, b"{}", headers=headers), 429, "rate_limited")
    services_of(app).redis.delete(*services_of(app).redis.keys("coop:rate:*"))
    problem(slow.send("POST", SUBMIT, b"{}", headers=headers), 422, "invalid_request")


def test_two_gateways_count_together(redis_client: redis.Redis, redis_server: RedisServer) -> None:
    with app_on(redis_server.url) as one, app_on(redis_server.url) as two:
        slow = caller_on(one, "slow", rate=2)
        same = Caller(two, slow.credentials)

        assert [each.get("/api/jobs").status_code for each in (slow, same, slow, same)] == [200, 200, 429, 429]


def test_a_rate_holds_for_many_at_once(app: Flask) -> None:
    slow, codes = caller_on(app, "slow", rate=10), Counter[int]()

    def ask() -> None:
        for _ in range(5):
            codes[slow.get("/api/jobs").status_code] += 1

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == {200: 10, 429: 30}


def test_a_high_limit_is_counted_in_portions_and_never_passed(redis_client: redis.Redis) -> None:
    one, two = RateWindows(redis_client), RateWindows(redis_client)
    limit = 1000
    before = redis_client.info("commandstats")["cmdstat_incrby"]["calls"] if _has_counted(redis_client) else 0

    numbers = [(one, two)[turn % 2].count("client/shop/route", limit)[0] for turn in range(2 * limit)]
    assert len(set(numbers)) == len(numbers)
    assert sum(number <= limit for number in numbers) == limit
    asked = redis_client.info("commandstats")["cmdstat_incrby"]["calls"] - before
    assert asked == 2 * limit // (limit // 200)


def _has_counted(client: redis.Redis) -> bool:
    return "cmdstat_incrby" in client.info("commandstats")


def test_without_redis_nobody_is_let_through(own_redis: RedisServer) -> None:
    with app_on(own_redis.url) as app:
        caller = caller_on(app)
        assert caller.get("/api/jobs").status_code == 200
        own_redis.kill()

        for answer in (caller.get("/api/jobs"), caller.get("/api/jobs", Authorization="Bearer wrong")):
            problem(answer, 503, "unavailable")
            assert answer.headers["Retry-After"]


def test_an_address_that_fails_too_often_is_told_so_and_good_requests_go_on(app: Flask, caller: Caller) -> None:
    codes = [caller.get("/api/jobs", Authorization="Bearer wrong").status_code for _ in range(FAILURES_PER_MINUTE + 3)]

    assert codes == [401] * FAILURES_PER_MINUTE + [429] * 3
    assert caller.submit("r1").status_code == 202
    elsewhere = Caller(app, caller.credentials, "203.0.113.8")
    problem(elsewhere.get("/api/jobs", Authorization="Bearer wrong"), 401, "invalid_key")


def test_failures_of_every_kind_count_together(app: Flask, caller: Caller) -> None:
    bound = caller_on(app, "bound", networks=["192.0.2.0/24"])
    submitted = ("POST", SUBMIT, json.dumps(submission("r1")).encode())
    cancelled = ("DELETE", "/api/jobs/r1", b"")
    used = {request: caller.signature(*request) for request in (submitted, cancelled)}
    assert [caller.send(*request, headers=used[request]).status_code for request in used] == [202, 200]
    kinds = [
        lambda: caller.send(*submitted, headers=used[submitted]),
        lambda: caller.send(*cancelled, headers=used[cancelled]),
        lambda: caller.get("/api/jobs", Authorization=""),
        lambda: caller.get("/api/jobs", Authorization="Bearer wrong"),
        lambda: caller.send("POST", SUBMIT, b"{}", signed=False),
        lambda: caller.send("POST", SUBMIT, b"{}", headers={"webhook-signature": "v1,x"}),
        lambda: bound.get("/api/jobs"),
    ]
    for number in range(FAILURES_PER_MINUTE):
        answer = kinds[number % len(kinds)]()
        assert standing(answer)[:2] == ("failed-authentication", FAILURES_PER_MINUTE - 1 - number)

    assert {kind().status_code for kind in kinds} == {429}


def test_other_mistakes_are_no_failures_to_authenticate(caller: Caller) -> None:
    for _ in range(FAILURES_PER_MINUTE + 1):
        problem(caller.get("/api/jobs/nope"), 404, "not_found")


def test_a_line_of_ipv6_fails_as_one(app: Flask, caller: Caller) -> None:
    wrong = {"Authorization": "Bearer wrong"}
    for number in range(FAILURES_PER_MINUTE + 1):
        caller.address = f"2001:db8::{number:x}"
        answer = caller.send("GET", "/api/jobs", headers=wrong)

    problem(answer, 429, "rate_limited")


def test_what_needs_no_key_is_limited_but_for_the_health(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.limits.PUBLIC_PER_MINUTE", 2)
    client = app.test_client()

    assert [client.get("/docs").status_code for _ in range(3)] == [200, 200, 429]
    assert client.get("/nowhere").status_code == 429
    assert client.get("/health/live").status_code == 200
    assert client.get("/docs", environ_base={"REMOTE_ADDR": "203.0.113.8"}).status_code == 200
    assert PUBLIC_PER_MINUTE >= 1000


def test_one_clients_flood_does_not_shut_another_out(redis_client: redis.Redis, redis_server: RedisServer) -> None:
    with app_on(redis_server.url, max_queue="10", max_queue_share="0.2") as app:
        flood, other = caller_on(app, "flood"), caller_on(app, "other")
        taken = [flood.submit(f"r{number}").status_code for number in range(12)]
        refused = flood.submit("r99")
        problem(refused, 429, "queue_full")

        assert (taken, int(refused.headers["Retry-After"]) > 0) == ([202] * 10 + [429] * 2, True)
        assert [other.submit(f"r{number}").status_code for number in range(3)] == [202, 202, 429]
        # A job that was taken before is still told so.
        assert flood.submit("r0").headers["Idempotent-Replay"] == "true"
