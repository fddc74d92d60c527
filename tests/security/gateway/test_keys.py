"""Keys: how they are made, kept, compared and taken away."""

from __future__ import annotations

import gc
import random
import re
import statistics
import time

import pytest
import redis
from flask import Flask

from api.request import ApiRequest
from coop.clients import ClientError
from tests.support.gateway import SUBMIT, Caller, caller_on, problem, services_of, submission

ROUNDS = 300


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key[:-1],
        lambda key: key + "x",
        lambda key: key.swapcase(),
        lambda key: "coop_" + "A" * 43,
        lambda key: f"{key},{key}",
        lambda key: key.replace("_", "-", 1),
        lambda key: f"{key[:10]} {key[10:]}",
        lambda key: "é" + key,
        lambda key: key + "\u200b",
        lambda key: "x" * 10_000,
        lambda key: "*",
        lambda key: "%00",
    ],
)
def test_a_wrong_key_is_invalid(caller: Caller, change: object) -> None:
    wrong = change(caller.credentials.api_key)  # type: ignore[operator]  # a lambda of the list above

    problem(caller.get("/api/jobs", Authorization=f"Bearer {wrong}"), 401, "invalid_key")


@pytest.mark.parametrize("header", ["Bearer\t{key}", "Token {key}", "{key}", "Basic {key}", " ", "Bearer"])
def test_another_form_of_header_holds_no_key(caller: Caller, header: str) -> None:
    sent = header.format(key=caller.credentials.api_key)

    problem(caller.get("/api/jobs", Authorization=sent), 401, "missing_key")


@pytest.mark.parametrize("header", ["Bearer  {key}", "bearer {key} ", "BEARER {key}"])
def test_blanks_and_case_around_the_key_do_not_matter(caller: Caller, header: str) -> None:
    assert caller.get("/api/jobs", Authorization=header.format(key=caller.credentials.api_key)).status_code == 200


@pytest.mark.parametrize("sent", [None, 7, True, [], {"a": 1}, "", "x" * 300, "é"])
def test_what_stands_for_the_key_in_a_body_may_be_anything(caller: Caller, sent: object) -> None:
    answer = caller.send("POST", SUBMIT, submission(apiKey=sent), headers={"Authorization": ""})

    assert (answer.status_code, answer.get_json()["code"] in {"missing_key", "invalid_key"}) == (401, True)


def test_a_wrong_header_is_not_made_good_by_the_body(caller: Caller) -> None:
    body = submission(apiKey=caller.credentials.api_key)

    problem(caller.send("POST", SUBMIT, body, headers={"Authorization": "Bearer wrong"}), 401, "invalid_key")


def test_the_key_of_a_removed_client_is_refused_at_once(app: Flask, caller: Caller) -> None:
    assert caller.get("/api/jobs").status_code == 200
    services_of(app).clients.remove("shop")

    problem(caller.get("/api/jobs"), 401, "invalid_key")


def test_both_keys_hold_during_a_rotation_and_the_old_one_ends(app: Flask, caller: Caller) -> None:
    clients = services_of(app).clients
    newer = Caller(app, clients.rotate("shop"))
    assert [caller.get("/api/jobs").status_code, newer.get("/api/jobs").status_code] == [200, 200]

    newest = Caller(app, clients.rotate("shop", overlap_seconds=0))
    problem(caller.get("/api/jobs"), 401, "invalid_key")
    problem(newer.get("/api/jobs"), 401, "invalid_key")
    assert newest.get("/api/jobs").status_code == 200


def test_redis_never_holds_a_key(caller: Caller, redis_client: redis.Redis) -> None:
    caller.submit("r1", apiKey=caller.credentials.api_key)
    caller.get("/api/jobs")

    dump = b"".join(redis_client.dump(key) or b"" for key in redis_client.scan_iter())
    assert caller.credentials.server_id.encode() in dump
    assert caller.credentials.api_key.encode() not in dump


def test_keys_and_secrets_are_long_and_never_the_same(app: Flask) -> None:
    made = [services_of(app).clients.add(f"c{number}") for number in range(50)]

    assert len({each.api_key for each in made} | {each.signing_secret for each in made}) == 100
    # 32 random bytes each.
    assert all(re.fullmatch(r"coop_[\w-]{43}", each.api_key) for each in made)
    assert all(re.fullmatch(r"whsec_[\w+/]{43}=", each.signing_secret) for each in made)


def test_a_name_cannot_reach_into_another_clients_jobs(app: Flask) -> None:
    for name in ("shop:r1", "a/b", "", "..", "a" * 65, "ä", "a b", "a\n"):
        with pytest.raises(ClientError):
            services_of(app).clients.add(name)


def test_how_long_a_refusal_takes_tells_nothing_of_the_key(app: Flask, caller: Caller) -> None:
    """Guesses that share nothing, half and all but one letter with a real key: their times are of one distribution.

    A comparison letter by letter over the network would be told apart by much less than what is allowed here; what is
    allowed is wide because other processes share the machine. The kinds take turns in a random order, so that a busy
    moment meets them all.
    """
    key = caller.credentials.api_key
    kinds = {
        "none": "coop_" + "A" * 43,
        "half": key[:24] + "A" * 24,
        "nearly": key[:-1] + ("A" if key[-1] != "A" else "B"),
    }
    by_key = services_of(app).clients.by_key
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind in random.sample(list(kinds), len(kinds)):
            begun = time.perf_counter()
            assert by_key(kinds[kind]) is None
            times[kind].append(time.perf_counter() - begun)

    for kind in ("half", "nearly"):
        # How often one kind is slower than the other: 0.5 if they are the same.
        slower = statistics.fmean(mine > theirs for mine, theirs in zip(times[kind], times["none"], strict=True))
        assert 0.3 < slower < 0.7, (kind, slower)


def test_a_key_is_looked_up_by_its_hash_alone(app: Flask, caller: Caller, redis_client: redis.Redis) -> None:
    """What makes the times equal: no step compares letters of a key that the caller could choose one by one."""
    with redis_client.monitor() as monitor:
        caller.get("/api/jobs")
        redis_client.echo("end")
        seen = []
        while "end" not in (command := str(monitor.next_command()["command"])):
            seen.append(command)

    assert any("coop:client-keys" in command for command in seen)
    assert not any(caller.credentials.api_key[5:] in command for command in seen)


def test_a_client_may_not_be_registered_twice(app: Flask) -> None:
    caller_on(app, "twice")

    with pytest.raises(ClientError):
        caller_on(app, "twice")


def test_nothing_of_a_request_that_failed_is_kept(caller: Caller) -> None:
    gc.collect()
    gc.disable()
    try:
        problem(caller.get("/api/jobs", Authorization="Bearer wrong"), 401, "invalid_key")
        problem(caller.send("POST", SUBMIT, submission(), signed=False), 401, "missing_signature")
        assert not [each for each in gc.get_objects() if isinstance(each, ApiRequest)]
    finally:
        gc.enable()
