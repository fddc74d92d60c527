"""A client that was remembered is what it is now, wherever something is done by it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from flask import Flask

from coop import clients
from tests.support.fleet import eventually
from tests.support.gateway import SUBMIT, Caller, app_on, caller_on, problem, services_of, submission
from tests.support.redis_server import RedisServer

CALLBACK = {"serverInfo": {"callbackUrl": "https://hooks.example.org/cb"}}

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def app(redis_client: redis.Redis, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """One that remembers for as long as a test takes."""
    monkeypatch.setattr(clients, "REMEMBERED_SECONDS", 3600.0)
    with app_on(redis_server.url) as made:
        yield made


@pytest.fixture
def known(app: Flask) -> Caller:
    """Who has just called."""
    caller = caller_on(app)
    assert caller.submit("before").status_code == 202
    assert services_of(app).clients.remembered(caller.credentials.api_key)
    return caller


@pytest.fixture
def change(redis_client: redis.Redis) -> Callable[[Change], None]:
    """Change the client's record, as another version of coop might."""

    def apply(edit: Change) -> None:
        record = json.loads(redis_client.hget(clients.CLIENTS_KEY, "shop") or b"")
        edit(record)
        redis_client.hset(clients.CLIENTS_KEY, "shop", json.dumps(record))

    return apply


def _lookups(client: redis.Redis) -> int:
    """How often a script was called."""
    return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])


def test_a_submission_of_a_client_that_was_seen_takes_one_step_of_redis(
    known: Caller, redis_client: redis.Redis
) -> None:
    before = _lookups(redis_client)
    assert known.submit("r1").status_code == 202

    assert _lookups(redis_client) == before + 1


def test_a_client_that_was_removed_is_refused_at_once(app: Flask, known: Caller) -> None:
    services_of(app).clients.remove("shop")

    problem(known.submit("r1"), 401, "invalid_key")
    assert services_of(app).store.get("shop:r1") is None


def test_a_client_that_was_made_anew_under_its_name_is_another(app: Flask, known: Caller) -> None:
    registry = services_of(app).clients
    registry.remove("shop")
    newer = Caller(app, registry.add("shop"))

    problem(known.submit("r1"), 401, "invalid_key")
    assert newer.submit("r2").status_code == 202


def test_a_key_whose_time_has_ended_is_refused_at_once(app: Flask, known: Caller) -> None:
    newer = Caller(app, services_of(app).clients.rotate("shop", overlap_seconds=0))

    problem(known.submit("r1"), 401, "invalid_key")
    assert newer.submit("r2").status_code == 202


def test_a_key_that_still_holds_is_taken_after_a_rotation(app: Flask, known: Caller) -> None:
    services_of(app).clients.rotate("shop")

    assert known.submit("r1").status_code == 202


def test_a_secret_of_now_signs_with_a_key_that_was_remembered(known: Caller, change: Callable[[Change], None]) -> None:
    newer = clients._new_credentials("shop").signing_secret
    change(lambda record: record.update(secrets=[{"secret": newer, "until": None}]))

    problem(known.submit("r1"), 401, "invalid_signature")
    credentials = clients.Credentials("shop", known.credentials.api_key, newer)
    assert Caller(known.app, credentials).submit("r2").status_code == 202


def test_a_network_that_was_taken_away_is_refused_at_once(known: Caller, change: Callable[[Change], None]) -> None:
    change(lambda record: record.update(networks=["192.0.2.0/24"]))

    problem(known.submit("r1"), 403, "ip_not_allowed")


def test_a_network_that_was_given_is_taken_at_once(known: Caller, change: Callable[[Change], None]) -> None:
    change(lambda record: record.update(networks=["192.0.2.0/24"]))
    problem(known.submit("r1"), 403, "ip_not_allowed")
    change(lambda record: record.update(networks=[]))

    assert known.submit("r1").status_code == 202


def test_a_callback_host_is_judged_by_what_is_allowed_now(known: Caller, change: Callable[[Change], None]) -> None:
    change(lambda record: record.update(callback_hosts=["other.example.org"]))
    problem(known.submit("r1", **CALLBACK), 403, "callback_host_not_allowed")

    change(lambda record: record.update(callback_hosts=["hooks.example.org"]))
    assert known.submit("r2", **CALLBACK).status_code == 202


def test_what_is_refused_uses_its_signature_up(known: Caller) -> None:
    body = b"{}"
    headers = known.signature("POST", SUBMIT, body)

    problem(known.send("POST", SUBMIT, body, headers=headers), 422, "invalid_request")
    problem(known.send("POST", SUBMIT, body, headers=headers), 401, "replayed")


def test_the_same_signed_request_again_is_a_replay(known: Caller) -> None:
    body = json.dumps(submission("r1")).encode()
    headers = known.signature("POST", SUBMIT, body)

    assert known.send("POST", SUBMIT, body, headers=headers).status_code == 202
    problem(known.send("POST", SUBMIT, body, headers=headers), 401, "replayed")


def test_who_was_removed_is_not_told_to_come_again(app: Flask) -> None:
    slow = caller_on(app, "slow", rate=1)
    assert slow.submit("r1").status_code == 202
    problem(slow.submit("r2"), 429, "rate_limited")
    services_of(app).clients.remove("slow")

    problem(slow.submit("r3"), 401, "invalid_key")


def test_a_key_that_ends_within_the_second_is_not_taken_by_memory(
    app: Flask, known: Caller, change: Callable[[Change], None]
) -> None:
    found = services_of(app).clients
    ends_at = found._now() + 2
    change(lambda record: record["keys"][0].update(until=ends_at))
    assert found.by_key(known.credentials.api_key)

    eventually(lambda: found.remembered(known.credentials.api_key) is None, what="the end of what is remembered")
    assert found._now() <= ends_at


def test_a_request_is_counted_once_also_when_its_client_has_changed(
    known: Caller, change: Callable[[Change], None]
) -> None:
    left = known.submit("r1").headers["RateLimit"]
    change(lambda record: record.update(callback_hosts=[]) or record.update(created_at=1))
    again = known.submit("r2").headers["RateLimit"]

    remaining = [int(standing.split(";r=")[1].split(";")[0]) for standing in (left, again)]
    assert remaining[1] == remaining[0] - 1


def test_nobody_is_remembered_for_long(app: Flask, known: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "REMEMBERED_SECONDS", 0.0)

    assert services_of(app).clients.remembered(known.credentials.api_key) is None
    assert services_of(app).clients.remembered("coop_" + "x" * 43) is None
