from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from coop.errors import JobError
from coop.job_store import JobStore
from coop.jobs import DeliveryAttempt, DeliveryStatus, Stage
from coop.metrics import DEFINITIONS
from tests.support.gateway import Caller, problem, services_of
from tests.support.jobs import advance_to, claimed

CALLBACK = {"serverInfo": {"callbackUrl": "https://example.org/cb"}}
FIELDS = {
    *("requestId", "status", "stage", "progress", "priority", "videoUrl", "acceptedAt", "startedAt", "endedAt"),
    *("machine", "run", "queuePosition", "stages", "delivery", "cost", "result", "error"),
}


def test_a_job_shows_every_field_of_the_contract(caller: Caller) -> None:
    caller.submit("r1")
    document = caller.get("/api/jobs/r1").get_json()

    assert set(document) == FIELDS
    assert [stage["name"] for stage in document["stages"]] == list(Stage)
    assert set(document["stages"][0]) == {"name", "status", "attempts", "startedAt", "endedAt", "machine"}
    assert set(document["delivery"]) == {"status", "url", "attempts", "nextAttemptAt"}
    assert (document["status"], document["queuePosition"]) == ("queued", 0)


def test_an_ended_job_shows_its_result_and_cost(caller: Caller, store: JobStore) -> None:
    caller.submit("r1")
    advance_to(store, Stage.DELIVER)
    document = caller.get("/api/jobs/r1").get_json()

    assert (document["status"], document["progress"], document["cost"]) == ("succeeded", 1, {"usd": 0.25})
    assert document["result"] == json.loads(store.outcome("shop:r1") or b"")["result"]


def test_an_unknown_job_is_not_found(caller: Caller) -> None:
    problem(caller.get("/api/jobs/nope"), 404, "not_found")


def test_jobs_are_listed_newest_first_page_by_page(caller: Caller) -> None:
    for number in range(5):
        caller.submit(f"r{number}")

    pages, cursor = [], ""
    while True:
        page = caller.get(f"/api/jobs?limit=2{cursor}").get_json()
        pages.append([job["requestId"] for job in page["jobs"]])
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert pages == [["r4", "r3"], ["r2", "r1"], ["r0"]]


def test_a_list_is_filtered_by_status_and_without_results(caller: Caller, store: JobStore) -> None:
    caller.submit("r1")
    caller.submit("r2")
    advance_to(store, Stage.DELIVER, "r2")
    page = caller.get("/api/jobs?status=succeeded").get_json()

    assert [job["requestId"] for job in page["jobs"]] == ["r2"]
    assert set(page["jobs"][0]) == FIELDS - {"result"}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "status=done", "cursor=x", "cursor=~", "lmit=3"])
def test_a_query_that_makes_no_sense_is_refused(caller: Caller, query: str) -> None:
    told = problem(caller.get(f"/api/jobs?{query}"), 422, "invalid_request")

    assert told["errors"][0]["field"] == query.partition("=")[0]


@pytest.mark.parametrize(("form", "begin"), [("txt", "Hello"), ("srt", "1\n00:"), ("vtt", "WEBVTT\n")])
def test_a_transcript_is_there_as_soon_as_it_is_made(caller: Caller, store: JobStore, form: str, begin: str) -> None:
    caller.submit("r1")
    problem(caller.get(f"/api/jobs/r1/transcript.{form}"), 404, "not_found")
    advance_to(store, Stage.ANALYZE)

    assert caller.get(f"/api/jobs/r1/transcript.{form}").get_data(as_text=True).startswith(begin)


def test_a_form_of_transcript_that_is_not_made_is_not_found(caller: Caller) -> None:
    caller.submit("r1")

    problem(caller.get("/api/jobs/r1/transcript.pdf"), 404, "not_found")


def test_a_cancelled_job_ends_and_its_callback_is_sent(caller: Caller, redis_client: redis.Redis) -> None:
    caller.submit("r1", **CALLBACK)
    document = caller.send("DELETE", "/api/jobs/r1").get_json()

    assert (document["status"], document["error"]["code"]) == ("cancelled", "cancelled")
    assert redis_client.llen("coop.deliver\x06\x165") == 1


def test_what_has_ended_cannot_be_cancelled(caller: Caller, store: JobStore) -> None:
    caller.submit("r1")
    advance_to(store, Stage.DELIVER)

    problem(caller.send("DELETE", "/api/jobs/r1"), 409, "not_cancellable")


def test_a_failed_job_is_driven_again_with_new_messages(
    caller: Caller, store: JobStore, redis_client: redis.Redis
) -> None:
    caller.submit("r1")
    store.fail(claimed(store), JobError("geo_blocked"), {})
    redis_client.delete("coop.metadata\x06\x165")
    answer = caller.send("POST", "/api/jobs/r1/retry")

    assert (answer.status_code, answer.get_json()["status"], answer.get_json()["run"]) == (202, "queued", 2)
    assert redis_client.llen("coop.metadata\x06\x165") == 1


@pytest.mark.parametrize("change", ["retry", "redeliver"])
def test_a_running_job_is_neither_driven_nor_delivered_again(caller: Caller, change: str) -> None:
    caller.submit("r1", **CALLBACK)

    problem(caller.send("POST", f"/api/jobs/r1/{change}"), 409, "not_retryable")


def test_a_result_can_be_delivered_again(caller: Caller, store: JobStore, redis_client: redis.Redis) -> None:
    caller.submit("r1", **CALLBACK)
    advance_to(store, Stage.DELIVER)
    _deliver(store)
    answer = caller.send("POST", "/api/jobs/r1/redeliver")

    assert (answer.status_code, answer.get_json()["delivery"]["status"]) == (202, "pending")
    assert redis_client.llen("coop.deliver\x06\x165") == 1


def _deliver(store: JobStore) -> None:
    job = store.get("shop:r1")
    assert job is not None
    claim = claimed(store, stage=Stage.DELIVER, run=job.run)
    attempt = DeliveryAttempt(at=store.now_ms(), status=200, error=None, milliseconds=5)
    assert store.record_delivery(claim, attempt, DeliveryStatus.DELIVERED, 0, {})


def _events(response: Any) -> Iterator[dict[str, Any]]:
    for part in response.response:
        for block in part.decode().split("\n\n"):
            if block.startswith("event: job\ndata: "):
                yield json.loads(block.removeprefix("event: job\ndata: "))


def test_a_stream_shows_each_change_and_ends_after_the_last(caller: Caller, store: JobStore) -> None:
    caller.submit("r1", **CALLBACK)
    answer = caller.get("/api/jobs/r1/events")
    steps = {
        ("queued", "none"): lambda: claimed(store),
        ("running", "none"): lambda: caller.send("DELETE", "/api/jobs/r1"),
        ("cancelled", "pending"): lambda: _deliver(store),
    }
    seen = []
    for document in _events(answer):
        seen.append((document["status"], document["delivery"]["status"]))
        steps.pop(seen[-1], lambda: None)()

    assert (seen[0], seen[-1], steps) == (("queued", "none"), ("cancelled", "delivered"), {})
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_stream_of_an_ended_job_is_one_event_without_the_result(caller: Caller, store: JobStore) -> None:
    caller.submit("r1")
    advance_to(store, Stage.DELIVER)

    assert [set(document) for document in _events(caller.get("/api/jobs/r1/events"))] == [FIELDS - {"result"}]


def test_a_closed_stream_gives_its_place_back(caller: Caller, app: Flask) -> None:
    caller.submit("r1")
    answer = caller.get("/api/jobs/r1/events")
    next(_events(answer))
    answer.close()

    free = 0
    while services_of(app).holds.take():
        free += 1
    assert free == services_of(app).settings.gateway_threads * 3 // 4


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/api/jobs", "text/html"),
        ("/api/jobs/r1", "text/csv"),
        ("/api/jobs/r1/events", "application/json"),
        ("/api/jobs/r1/transcript.txt", "application/json"),
        ("/api/jobs", "application/json;q=0"),
    ],
)
def test_a_form_that_cannot_be_given_is_not_acceptable(caller: Caller, path: str, accept: str) -> None:
    caller.submit("r1")

    problem(caller.get(path, Accept=accept), 406, "not_acceptable")


def test_a_method_that_is_not_for_an_address_is_told_which_are(caller: Caller) -> None:
    answer = caller.send("PUT", "/api/jobs/r1", signed=True)

    problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "DELETE, GET, HEAD"


def test_a_fault_is_told_without_its_inside(caller: Caller, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the inside")

    monkeypatch.setattr(services_of(app).clients, "by_key", broken)

    assert "inside" not in str(problem(caller.get("/api/jobs"), 500, "internal"))


def test_answers_tell_browsers_to_be_careful(caller: Caller) -> None:
    headers = caller.get("/api/jobs").headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_metrics_are_the_whole_fleets(caller: Caller, app: Flask, store: JobStore) -> None:
    caller.submit("r1", priority="high")
    store.announce_worker("mill@1", 4, 1)
    caller.get("/nowhere/r1")
    services_of(app).traffic.flush()
    text = app.test_client().get("/metrics").get_data(as_text=True)

    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["coop_queue_depth", "high"] == 1
    assert found["coop_slots", "free"] == 3
    assert found["coop_http_requests_total", "/api/process-video", "202"] == 1
    assert found["coop_http_requests_total", "404", "unmatched"] == 1
    assert all(f"# TYPE {name} " in text for name in DEFINITIONS)


def test_several_gateways_count_into_one_sum(app: Flask, redis_client: redis.Redis) -> None:
    traffic = services_of(app).traffic
    adders = [threading.Thread(target=traffic.record, args=("/docs", 200, 0.1)) for _ in range(8)]
    for adder in adders:
        adder.start()
    for adder in adders:
        adder.join()
    traffic.flush()

    assert float(redis_client.hget("coop:metrics", '["coop_http_requests_total", "value", "/docs", "200"]') or 0) == 8
