from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from coop.documents import SubmitRequest, failure_body, instant, job_document, job_list_body, success_body
from coop.errors import JobError
from coop.jobs import Delivery, DeliveryAttempt, DeliveryStatus, Job, JobOptions, JobStatus, Priority, Stage
from coop.results import Found, Transcript, Usage
from tests.support.jobs import OUTPUTS

JOB = Job("shop:r1", "shop", "r1", "https://v.example.org/", Priority.NORMAL, JobOptions(), 1_795_340_900_120)
FOUND = Found(**{stage.value: output for stage, output in OUTPUTS.items()})  # type: ignore[arg-type]


def result_of(found: Found) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(success_body(JOB, found, 45_000, 1_795_340_945_999))
    return document


def with_usage(*usage: Usage) -> Found:
    return FOUND.model_copy(update={"transcribe": Transcript(engine="e", usage=usage)})


def test_a_success_has_every_field_of_the_contract() -> None:
    document = result_of(FOUND)

    assert set(document) == {"success", "requestId", "processingTime", "timestamp", "result"}
    assert {"metadata", "transcript", "analysis", "ideas"} <= set(document["result"])
    assert set(document["result"]["metadata"]) == {"id", "title", "channel", "views", "likes", "published", "duration"}
    assert set(document["result"]["analysis"]) == {
        *("hook", "entryStyle", "niche", "structure", "lengthSeconds", "pace", "emotion")
    }
    assert set(document["result"]["ideas"][0]) == {"title", "hook", "outline", "suggestedLength", "tone"}


def test_what_the_site_does_not_tell_is_null() -> None:
    assert result_of(FOUND)["result"]["metadata"]["likes"] is None


def test_times_are_utc_and_milliseconds_are_from_acceptance() -> None:
    document = result_of(FOUND)

    assert (document["processingTime"], document["timestamp"]) == (45_000, "2026-11-22T09:49:05Z")


def test_costs_add_up_without_the_dust_of_binary_fractions() -> None:
    found = with_usage(*(Usage(engine="e", model="m", usd=0.1) for _ in range(3)))

    assert result_of(found)["result"]["cost"]["usd"] == 0.3


def test_one_unknown_price_makes_the_cost_unknown() -> None:
    found = with_usage(Usage(engine="e", model="m", usd=0.1), Usage(engine="e", model="new"))

    assert result_of(found)["result"]["cost"]["usd"] is None


def test_the_engines_are_named() -> None:
    assert result_of(FOUND)["result"]["engines"] == {
        "transcribe": "local:tiny.en",
        "analyze": "offline",
        "ideas": "offline",
    }


def test_a_result_of_an_unfinished_job_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs"):
        success_body(JOB, Found(), 1, 1)


def test_a_failure_says_who_can_do_something() -> None:
    document = json.loads(failure_body(JOB, JobError("bot_check", retry_after=3.2), Stage.METADATA, 7, 1))

    assert document["success"] is False
    assert document["error"] == {
        "code": "bot_check",
        "message": "The site takes this machine for a robot.",
        "stage": "metadata",
        "retryable": True,
        "retryAfterSeconds": 4,
        "actor": "operator",
    }


def test_a_job_shows_its_result_or_its_error_once_it_ended() -> None:
    succeeded = job_document(JOB, queue_position=None, usd=0.0, outcome=success_body(JOB, FOUND, 1, 1))
    failed = job_document(
        JOB, queue_position=None, usd=0.0, outcome=failure_body(JOB, JobError("no_audio"), Stage.DOWNLOAD, 1, 1)
    )

    assert succeeded.to_document()["result"] == result_of(FOUND)["result"]
    assert succeeded.error is None
    assert failed.result is None
    assert failed.error is not None
    assert failed.error.code == "no_audio"


def test_a_result_of_a_newer_version_is_handed_on_whole() -> None:
    body = success_body(JOB, FOUND, 1, 1).replace(b'"result":{', b'"result":{"mood":"new",')

    assert job_document(JOB, queue_position=None, usd=None, outcome=body).to_document()["result"]["mood"] == "new"


def test_a_delivery_shows_each_attempt() -> None:
    attempt = DeliveryAttempt(at=1_795_340_900_120, status=None, error="connection refused", milliseconds=3)
    delivery = Delivery(DeliveryStatus.PENDING, "https://c.example.org/", (attempt,), 1_795_340_905_120)
    job = Job(**{**vars(JOB), "delivery": delivery, "status": JobStatus.FAILED})

    assert job_document(job, queue_position=None, usd=None).to_document()["delivery"] == {
        "status": "pending",
        "url": "https://c.example.org/",
        "attempts": [
            {"at": "2026-11-22T09:48:20.120Z", "status": None, "error": "connection refused", "milliseconds": 3}
        ],
        "nextAttemptAt": "2026-11-22T09:48:25.120Z",
    }


def test_lists_leave_the_result_out() -> None:
    document = job_document(JOB, queue_position=0, usd=None, outcome=success_body(JOB, FOUND, 1, 1))
    page = json.loads(job_list_body([document, document], "1~x"))

    assert page["nextCursor"] == "1~x"
    assert [set(document.to_document()) - set(job) for job in page["jobs"]] == [{"result"}, {"result"}]


def test_no_time_is_null() -> None:
    assert instant(None) is None


def test_a_request_may_leave_out_all_but_id_and_address() -> None:
    asked = SubmitRequest.model_validate_json('{"requestId":"a.b:C-_1","videoUrl":"https://x.org/"}', strict=True)

    assert (asked.priority, asked.callback_url, asked.options) == (Priority.NORMAL, None, JobOptions())


@pytest.mark.parametrize(
    "change",
    [
        {"requestId": ""},
        {"requestId": "a" * 129},
        {"requestId": "a/b"},
        {"requestId": "a\n"},
        {"requestId": 1},
        {"videoUrl": "https://x.org/" + "a" * 2048},
        {"videoUrl": None},
        {"priority": "urgent"},
        {"timestamp": "yesterday"},
        {"timestamp": 1692123456},
        {"options": {"ideas": 0}},
        {"options": {"ideas": 11}},
        {"options": {"ideas": "3"}},
        {"options": {"language": "english"}},
        {"options": {"captions": "maybe"}},
        {"options": {"idea": 3}},
        {"serverInfo": {"callback": "https://x.org/"}},
        {"priorty": "high"},
    ],
    ids=str,
)
def test_a_request_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SubmitRequest.model_validate_json(
            json.dumps({"requestId": "r1", "videoUrl": "https://x.org/", **change}), strict=True
        )


def test_a_duration_that_the_site_does_not_tell_is_the_measured_one() -> None:
    assert result_of(FOUND)["result"]["metadata"]["duration"] == "PT27S"


def test_a_duration_that_the_site_tells_is_left_alone() -> None:
    source = FOUND.metadata
    assert source is not None
    told = source.model_copy(update={"metadata": source.metadata.model_copy(update={"duration": "PT26S"})})

    document = result_of(FOUND.model_copy(update={"metadata": told}))

    assert document["result"]["metadata"]["duration"] == "PT26S"
