"""Every way to get a signature wrong, and to use a right one twice."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
import redis
from flask import Flask

from coop.webhooks import ID, SIGNATURE, SPENT_ID_SECONDS, TIMESTAMP, TOLERANCE_SECONDS, sign_request
from tests.support.gateway import SUBMIT, Caller, caller_on, problem, services_of

BODY = b'{"requestId":"r1","videoUrl":"https://video.example.org/watch?v=1"}'
Headers = dict[str, str]
OTHER_SECRET = "whsec_" + "A" * 44


def signed(caller: Caller, **changes: object) -> Headers:
    """Good headers but for what is changed of what they are made from."""
    made = {
        "secret": caller.credentials.signing_secret,
        "method": "POST",
        "path": SUBMIT,
        "body": BODY,
        "message_id": f"msg_{secrets.token_hex(8)}",
        "timestamp": int(time.time()),
    }
    return sign_request(**{**made, **changes})  # type: ignore[arg-type]  # a test's own choice


def changed(headers: Headers, name: str, change: Callable[[str], str]) -> Headers:
    return {**headers, name: change(headers[name])}


def test_a_good_signature_is_taken(caller: Caller) -> None:
    assert caller.send("POST", SUBMIT, BODY, headers=signed(caller)).status_code == 202


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": OTHER_SECRET},
        {"path": "/api/process-video/"},
        {"path": "/api/jobs"},
        {"path": "/API/process-video"},
        {"path": f"{SUBMIT}?x=1"},
        {"method": "DELETE"},
        {"method": "GET"},
        {"body": BODY + b" "},
        {"body": BODY.replace(b"r1", b"r2")},
        {"body": b""},
    ],
    ids=str,
)
def test_a_signature_of_something_else_is_invalid(caller: Caller, wrong: dict[str, object]) -> None:
    problem(caller.send("POST", SUBMIT, BODY, headers=signed(caller, **wrong)), 401, "invalid_signature")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (SIGNATURE, lambda value: value.replace("v1,", "v2,")),
        (SIGNATURE, lambda value: value.replace("v1,", "v1a,")),
        (SIGNATURE, lambda value: value.replace("v1,", "V1,")),
        (SIGNATURE, lambda value: value.removeprefix("v1,")),
        (SIGNATURE, lambda value: value[:-2]),
        (SIGNATURE, lambda value: value.replace(" ", "\t") + "\t"),
        (SIGNATURE, lambda value: value + "," + value),
        (SIGNATURE, lambda _: "v1,"),
        (SIGNATURE, lambda _: ","),
        (SIGNATURE, lambda _: "v1,not base64!"),
        (SIGNATURE, lambda _: "v1,äöü"),
        (SIGNATURE, lambda _: "v1," + "A" * 1_000_000),
        (SIGNATURE, lambda _: "v1,A " * 250_000),
        (ID, lambda value: value + "x"),
        (ID, lambda value: "é" + value),
        (ID, lambda _: "m" * 257),
        (TIMESTAMP, lambda value: "0" + value),
        (TIMESTAMP, lambda value: "+" + value),
        (TIMESTAMP, lambda value: value + ".0"),
        (TIMESTAMP, lambda value: value.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩"))),
        (TIMESTAMP, lambda _: "nan"),
        (TIMESTAMP, lambda _: "1e9"),
        (TIMESTAMP, lambda _: "9" * 400),
    ],
)
def test_a_signature_out_of_form_is_invalid(caller: Caller, name: str, change: Callable[[str], str]) -> None:
    refused = caller.send("POST", SUBMIT, BODY, headers=changed(signed(caller), name, change))

    problem(refused, 401, "invalid_signature")


@pytest.mark.parametrize("name", [ID, TIMESTAMP, SIGNATURE])
def test_each_header_is_needed(caller: Caller, name: str) -> None:
    problem(caller.send("POST", SUBMIT, BODY, headers={**signed(caller), name: ""}), 401, "missing_signature")


@pytest.mark.parametrize("off", [-TOLERANCE_SECONDS - 5, TOLERANCE_SECONDS + 5, -(10**9), 10**9])
def test_a_signature_of_another_time_is_stale(caller: Caller, off: int) -> None:
    headers = signed(caller, timestamp=int(time.time()) + off)

    problem(caller.send("POST", SUBMIT, BODY, headers=headers), 401, "stale_timestamp")


@pytest.mark.parametrize("off", [-TOLERANCE_SECONDS + 30, TOLERANCE_SECONDS - 30])
def test_a_clock_that_is_a_little_off_is_forgiven(caller: Caller, off: int) -> None:
    headers = signed(caller, timestamp=int(time.time()) + off)

    assert caller.send("POST", SUBMIT, BODY, headers=headers).status_code == 202


def test_a_replay_is_refused_also_at_another_route(caller: Caller) -> None:
    caller.submit("r2")
    headers = signed(caller, path="/api/jobs/r2", method="DELETE", body=b"")
    assert caller.send("DELETE", "/api/jobs/r2", headers=headers).status_code == 200

    problem(caller.send("DELETE", "/api/jobs/r2", headers=headers), 401, "replayed")
    problem(caller.send("DELETE", "/api/jobs/r1", headers=headers), 401, "invalid_signature")
    problem(caller.send("POST", "/api/jobs/r2/retry", headers=headers), 401, "invalid_signature")


def test_an_id_stays_used_for_as_long_as_its_signature_could_hold(caller: Caller, redis_client: redis.Redis) -> None:
    headers = signed(caller, timestamp=int(time.time()) + TOLERANCE_SECONDS - 5)
    caller.send("POST", SUBMIT, BODY, headers=headers)

    (key,) = redis_client.keys("coop:webhook-id:*")
    assert SPENT_ID_SECONDS == 2 * TOLERANCE_SECONDS
    assert SPENT_ID_SECONDS - 5 <= redis_client.ttl(key) <= SPENT_ID_SECONDS


def test_of_many_replays_at_once_one_is_taken(caller: Caller) -> None:
    headers, codes = signed(caller), Counter[int]()
    start = threading.Barrier(8)

    def send() -> None:
        start.wait()
        codes[caller.send("POST", SUBMIT, BODY, headers=headers).status_code] += 1

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == {202: 1, 401: 7}


def test_another_clients_signature_is_invalid(app: Flask, caller: Caller) -> None:
    other = caller_on(app, "other")

    problem(caller.send("POST", SUBMIT, BODY, headers=signed(other)), 401, "invalid_signature")


def test_two_clients_may_use_the_same_id(app: Flask, caller: Caller) -> None:
    other = caller_on(app, "other")

    assert caller.send("POST", SUBMIT, BODY, headers=signed(caller, message_id="m")).status_code == 202
    assert other.send("POST", SUBMIT, BODY, headers=signed(other, message_id="m")).status_code == 202


def test_either_of_two_signatures_is_enough_while_secrets_change(app: Flask, caller: Caller) -> None:
    headers = signed(caller)
    foreign = sign_request(OTHER_SECRET, "POST", SUBMIT, BODY, headers[ID], int(headers[TIMESTAMP]))[SIGNATURE]
    both = {**headers, SIGNATURE: f"{foreign} {headers[SIGNATURE]}"}

    assert caller.send("POST", SUBMIT, BODY, headers=both).status_code == 202


def test_an_old_secret_ends_after_its_overlap(app: Flask, caller: Caller) -> None:
    new = Caller(app, services_of(app).clients.rotate("shop", overlap_seconds=0))

    headers = {**signed(caller), "Authorization": f"Bearer {new.credentials.api_key}"}
    problem(caller.send("POST", SUBMIT, BODY, headers=headers), 401, "invalid_signature")
    assert new.send("POST", SUBMIT, BODY, headers=signed(new)).status_code == 202


def test_what_failed_can_be_sent_again_with_the_same_id(caller: Caller) -> None:
    """A stranger who saw an id on its way cannot use it up."""
    headers = signed(caller)
    problem(
        caller.send("POST", SUBMIT, BODY, headers=changed(headers, SIGNATURE, lambda _: "v1,x")),
        401,
        "invalid_signature",
    )

    assert caller.send("POST", SUBMIT, BODY, headers=headers).status_code == 202
