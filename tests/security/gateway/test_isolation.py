"""What one client can learn of another's jobs, and do to them: nothing."""

from __future__ import annotations

import json

import pytest
from flask import Flask

from coop.jobs import Stage
from tests.support.gateway import Caller, caller_on, problem, services_of
from tests.support.jobs import advance_to

READS = [
    ("GET", ""),
    ("GET", "/events"),
    ("GET", "/transcript.txt"),
    ("GET", "/transcript.srt"),
    ("GET", "/transcript.vtt"),
]
CHANGES = [("DELETE", ""), ("POST", "/retry"), ("POST", "/redeliver")]


@pytest.fixture
def other(app: Flask) -> Caller:
    return caller_on(app, "other")


@pytest.mark.parametrize(("method", "path"), READS + CHANGES)
def test_anothers_job_answers_like_one_that_never_was(
    app: Flask, caller: Caller, other: Caller, method: str, path: str
) -> None:
    caller.submit("r1", serverInfo={"callbackUrl": "https://example.org/cb"})
    advance_to(services_of(app).store, Stage.DELIVER)
    before = caller.get("/api/jobs/r1").get_json()

    theirs, nobodys = (other.send(method, f"/api/jobs/{request_id}{path}") for request_id in ("r1", "r2"))
    assert problem(theirs, 404, "not_found") == problem(nobodys, 404, "not_found")
    assert _shape(theirs.headers) == _shape(nobodys.headers)
    assert caller.get("/api/jobs/r1").get_json() == before


def _shape(headers: object) -> dict[str, str]:
    changing = {"X-Request-Id", "RateLimit", "Date"}
    return {name: value for name, value in dict(headers).items() if name not in changing}  # type: ignore[call-overload]  # werkzeug's headers


def test_the_same_id_of_two_clients_is_two_jobs(caller: Caller, other: Caller) -> None:
    assert caller.submit("r1", priority="high").status_code == 202
    answer = other.submit("r1", priority="low")
    assert (answer.status_code, "Idempotent-Replay" in answer.headers) == (202, False)

    assert other.send("DELETE", "/api/jobs/r1").status_code == 200
    mine, theirs = caller.get("/api/jobs/r1").get_json(), other.get("/api/jobs/r1").get_json()
    assert (mine["status"], mine["priority"]) == ("queued", "high")
    assert (theirs["status"], theirs["priority"]) == ("cancelled", "low")


def test_lists_hold_ones_own_jobs_only_whatever_the_cursor(caller: Caller, other: Caller) -> None:
    for number in range(3):
        caller.submit(f"r{number}")
        other.submit(f"o{number}")
    cursor = caller.get("/api/jobs?limit=1").get_json()["nextCursor"]

    for query in ("", f"?cursor={cursor}", "?status=queued", "?cursor=99999999999999~shop:r2"):
        listed = other.get(f"/api/jobs{query}").get_json()["jobs"]
        assert all(job["requestId"].startswith("o") for job in listed)


@pytest.mark.parametrize("request_id", ["shop:r1", ":r1", "other:r1", "shop::r1"])
def test_an_id_cannot_name_another_client(caller: Caller, other: Caller, request_id: str) -> None:
    caller.submit("r1")

    problem(other.get(f"/api/jobs/{request_id}"), 404, "not_found")
    assert other.submit(request_id).status_code == 202
    assert [job["requestId"] for job in caller.get("/api/jobs").get_json()["jobs"]] == ["r1"]


def test_no_document_tells_of_other_clients(caller: Caller, other: Caller) -> None:
    caller.submit("planted-id", videoUrl="https://planted.example.org/v")
    answers = [other.submit("r1"), other.get("/api/jobs"), other.get("/api/jobs/r1"), other.get("/metrics")]

    told = json.dumps([answer.get_data(as_text=True) for answer in answers])
    assert "planted" not in told
    assert "shop" not in told
