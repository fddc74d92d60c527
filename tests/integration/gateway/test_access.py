"""Who gets in: keys, networks, signatures, replays."""

from __future__ import annotations

import re
import time

import pytest
from flask import Flask

from coop.webhooks import sign_request
from tests.support.gateway import SUBMIT, Caller, caller_on, problem, services_of, submission

PUBLIC = {
    "/health/live",
    "/health/ready",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/docs/<any('docs.js', 'docs.css'):name>",
}


def test_every_route_wants_a_key_unless_it_is_public(app: Flask) -> None:
    open_rules = set()
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<any\(([^,]*),[^>]*>", lambda match: match[1].strip("'"), rule.rule)
        for method in rule.methods or ():
            answer = app.test_client().open(re.sub(r"<[^>]*>", "r1", path), method=method)
            if answer.status_code != 401:
                open_rules.add(rule.rule)
            assert answer.status_code < 500

    assert open_rules == PUBLIC


def test_every_change_wants_a_signature(app: Flask, caller: Caller) -> None:
    for rule in app.url_map.iter_rules():
        for method in (rule.methods or set()) - {"GET", "HEAD"}:
            answer = caller.send(method, rule.rule.replace("<request_id>", "r1"), signed=False)
            problem(answer, 401, "missing_signature")


def test_an_unknown_key_is_refused(caller: Caller) -> None:
    answer = caller.get("/api/jobs", Authorization="Bearer coop_guess")

    problem(answer, 401, "invalid_key")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic abc", "coop_x"])
def test_another_kind_of_authorization_is_no_key(caller: Caller, header: str) -> None:
    problem(caller.get("/api/jobs", Authorization=header), 401, "missing_key")


def test_the_key_may_stand_in_the_body(caller: Caller) -> None:
    body = submission(apiKey=caller.credentials.api_key)

    assert caller.send("POST", SUBMIT, body, headers={"Authorization": ""}).status_code == 202


def test_a_client_sees_its_own_jobs_only(app: Flask, caller: Caller) -> None:
    caller.submit("r1")
    other = caller_on(app, "other")

    assert other.get("/api/jobs").get_json()["jobs"] == []
    for method, path in (
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/transcript.txt"),
        ("DELETE", ""),
        ("POST", "/retry"),
    ):
        problem(other.send(method, f"/api/jobs/r1{path}"), 404, "not_found")


def test_two_clients_may_use_the_same_request_id(app: Flask, caller: Caller) -> None:
    other = caller_on(app, "other")

    assert [caller.submit("r1").status_code, other.submit("r1", priority="high").status_code] == [202, 202]


def test_a_client_bound_to_networks_calls_from_there_only(app: Flask) -> None:
    bound = caller_on(app, "bound", networks=["198.51.100.0/24"])

    problem(bound.get("/api/jobs"), 403, "ip_not_allowed")
    bound.address = "198.51.100.9"
    assert bound.get("/api/jobs").status_code == 200


def test_an_address_that_a_caller_writes_itself_counts_for_nothing(app: Flask) -> None:
    bound = caller_on(app, "bound", networks=["198.51.100.0/24"])

    problem(bound.get("/api/jobs", **{"X-Forwarded-For": "198.51.100.9"}), 403, "ip_not_allowed")


def test_results_go_to_bound_hosts_only(app: Flask) -> None:
    bound = caller_on(app, "bound", callback_hosts=["example.org"])

    refused = bound.submit("r1", serverInfo={"callbackUrl": "https://evil.example.net/"})
    problem(refused, 403, "callback_host_not_allowed")
    assert bound.submit("r1", serverInfo={"callbackUrl": "https://EXAMPLE.org/cb"}).status_code == 202


def test_a_signed_request_is_taken_once(caller: Caller) -> None:
    headers = caller.signature("POST", SUBMIT, b"{}")
    first = caller.send("POST", SUBMIT, b"{}", headers=headers)
    again = caller.send("POST", SUBMIT, b"{}", headers=headers)

    problem(first, 422, "invalid_request")
    problem(again, 401, "replayed")


def test_an_id_is_not_spent_by_a_wrong_signature(caller: Caller) -> None:
    headers = caller.signature("POST", SUBMIT, b"{}")
    problem(caller.send("POST", SUBMIT, b"{ }", headers=headers), 401, "invalid_signature")

    problem(caller.send("POST", SUBMIT, b"{}", headers=headers), 422, "invalid_request")


def test_an_old_signature_is_stale(caller: Caller) -> None:
    headers = sign_request(caller.credentials.signing_secret, "POST", SUBMIT, b"{}", "m", int(time.time()) - 400)

    problem(caller.send("POST", SUBMIT, b"{}", headers=headers), 401, "stale_timestamp")


def test_both_secrets_sign_during_a_rotation(app: Flask, caller: Caller) -> None:
    new = Caller(app, services_of(app).clients.rotate("shop"))

    assert [caller.submit("r1").status_code, new.submit("r2").status_code] == [202, 202]


@pytest.mark.parametrize("path", ["/api/jobs/a:b/retry", "/api/jobs/a%3Ab/retry"])
def test_a_path_may_be_signed_as_it_was_written(caller: Caller, path: str) -> None:
    caller.submit("a:b")

    problem(caller.send("POST", path), 409, "not_retryable")


def test_the_query_is_not_signed(caller: Caller) -> None:
    caller.submit("r1")
    headers = caller.signature("DELETE", "/api/jobs/r1", b"")

    assert caller.send("DELETE", "/api/jobs/r1?x=1", headers=headers).status_code == 200


def test_no_answer_holds_a_secret(caller: Caller) -> None:
    answers = [
        caller.submit("r1", apiKey=caller.credentials.api_key, extra=1),
        caller.submit("r1"),
        caller.get("/metrics"),
    ]

    told = "".join(answer.get_data(as_text=True) for answer in answers)
    assert caller.credentials.api_key not in told
    assert caller.credentials.signing_secret not in told
