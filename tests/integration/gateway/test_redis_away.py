"""What callers are told while Redis is away, frozen, or not fit to keep jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from flask import Flask

from coop.metrics import METRICS_KEY
from tests.support.gateway import Caller, app_on, caller_on, problem, services_of
from tests.support.redis_server import RedisServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as started:
        yield started


@pytest.fixture
def app(server: RedisServer) -> Iterator[Flask]:
    with app_on(server.url) as made:
        yield made


@pytest.fixture
def caller(app: Flask) -> Caller:
    return caller_on(app)


def test_nothing_is_accepted_while_redis_is_away_and_all_is_well_after(caller: Caller, server: RedisServer) -> None:
    server.kill()
    answer = caller.submit("r1")
    problem(answer, 503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0

    server.start()
    assert caller.submit("r1").status_code == 202


def test_a_frozen_redis_is_given_up_soon(caller: Caller, server: RedisServer) -> None:
    server.pause()
    answer = caller.get("/api/jobs")
    server.resume()

    problem(answer, 503, "unavailable")


def test_a_gateway_starts_while_redis_is_away(server: RedisServer) -> None:
    server.kill()
    with app_on(server.url) as app:
        assert app.test_client().get("/health/live").status_code == 200
        problem(app.test_client().get("/health/ready"), 503, "unavailable")
        problem(app.test_client().get("/metrics"), 503, "unavailable")


def test_a_redis_that_would_lose_jobs_is_not_ready(app: Flask, server: RedisServer) -> None:
    assert app.test_client().get("/health/ready").get_json() == {"status": "ready"}
    with redis.Redis.from_url(server.url) as client:
        client.config_set("appendonly", "no")

    told = problem(app.test_client().get("/health/ready"), 503, "unavailable")
    assert "appendonly" in told["detail"]


def test_a_job_whose_message_cannot_be_sent_is_accepted_all_the_same_and_the_log_says_so(
    caller: Caller, server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.set("coop.metadata\x06\x165", "not a list")  # the broker's push fails, the record does not

    assert caller.submit("r1").status_code == 202
    assert caller.get("/api/jobs/r1").get_json()["status"] == "queued"
    assert "messages are left to the reaper" in capsys.readouterr().out


def test_what_was_counted_meanwhile_is_added_later(app: Flask, server: RedisServer) -> None:
    traffic = services_of(app).traffic
    server.kill()
    traffic.record("/docs", 200, 0.1)
    with pytest.raises(redis.RedisError):
        traffic.flush()
    server.start()
    traffic.flush()

    with redis.Redis.from_url(server.url) as client:
        assert client.hget(METRICS_KEY, '["coop_http_requests_total", "value", "/docs", "200"]') == b"1"
