"""Request ids and paths that try to be something else."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.support.gateway import Caller, problem

WRONG_IDS = [
    "..",
    ".",
    "../r1",
    "a/b",
    "a\\b",
    "%2e%2e",
    "%00",
    "a\x00b",
    "\n",
    "r1\n",
    "é",
    "",
    " ",
    "r1 ",
    "r" * 129,
    "*",
    "r1?",
]
# These two are names like others: ids are never paths here.
ODD_IDS = ["..", ".", "-", ":", "a:b", "_", "r" * 128]


@pytest.mark.parametrize("request_id", [each for each in WRONG_IDS if each not in ODD_IDS], ids=repr)
def test_an_id_out_of_form_is_refused(caller: Caller, request_id: str) -> None:
    told = problem(caller.submit(request_id), 422, "invalid_request")

    assert told["errors"][0]["field"] == "requestId"


@pytest.mark.parametrize("request_id", ODD_IDS, ids=lambda text: text[:9])
def test_an_odd_id_of_the_contract_is_a_job_like_others(caller: Caller, request_id: str) -> None:
    assert caller.submit(request_id).status_code == 202

    listed = caller.get("/api/jobs").get_json()["jobs"]
    assert [job["requestId"] for job in listed] == [request_id]
    encoded = request_id.replace(".", "%2E")
    assert caller.get(f"/api/jobs/{encoded}").get_json()["requestId"] == request_id


@pytest.mark.parametrize(
    "path",
    [
        "/api/jobs/%2e%2e",
        "/api/jobs/..%2fr1",
        "/api/jobs/%252e%252e",
        "/api/jobs/a%00b",
        "/api/jobs/%ff%fe",
        "/api/jobs/%0d%0aSet-Cookie:%20a=b",
        "/api/jobs/*",
        "/api/jobs/other:r1",
        "/api/jobs/shop:r1",
        "/api/jobs/r1%20",
        "/api/jobs/" + "r" * 129,
        "/api/jobs/" + "r" * 10_000,
        "/api/jobs/r1/",
        "/api/jobs//r1",
        "/api//jobs",
        "/api/jobs/r1/transcript.pdf",
        "/api/jobs/r1/transcript.txt%00.vtt",
        "/api/jobs/r1/../../metrics",
        "/docs/..%2f..%2fserve.py",
        "/docs/%2e%2e/serve.py",
        "/docs/docs.py",
        "/static/docs.css",
        "/.env",
    ],
)
def test_a_path_that_leads_nowhere_is_not_found(caller: Caller, path: str) -> None:
    caller.submit("r1")
    answer = caller.get(path)

    problem(answer, 404, "not_found")
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("change", ["retry", "redeliver"])
def test_a_path_that_is_no_text_cannot_be_signed(caller: Caller, change: str) -> None:
    """Its decoded form is another text than was signed: refused, whatever was meant."""
    problem(caller.send("POST", f"/api/jobs/a%00%ff/{change}"), 401, "invalid_signature")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"])
def test_another_method_is_not_allowed(caller: Caller, method: str) -> None:
    problem(caller.send(method, "/api/jobs", signed=True), 405, "method_not_allowed")


def test_who_asks_for_another_protocol_is_answered_in_this_one(caller: Caller) -> None:
    asked = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}

    assert caller.get("/api/jobs", **asked).status_code == 200


@pytest.mark.parametrize("slashes", ["//", "///"])
def test_slashes_at_the_beginning_are_not_taken_for_one(app: Flask, slashes: str) -> None:
    answer = app.test_client().open(environ_overrides={"PATH_INFO": f"{slashes}api/jobs"})

    problem(answer, 404, "not_found")
