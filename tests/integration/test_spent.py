"""What failed attempts cost: it is paid for all the same, so it is in the job's cost and in the metrics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis

from coop.errors import JobError
from coop.job_store import JobStore
from coop.jobs import JobStatus, Stage
from coop.results import Usage
from tests.support.fleet import Fleet, fleet_on
from tests.support.jobs import OUTPUTS, accepted, advance_to, claimed, cost_of, store_of
from tests.support.openai_server import OpenAIServer, cut_off, refusal
from tests.support.redis_server import RedisServer

JOB = "shop:r1"
SPENT = Usage(engine="openai", model="gpt-6-luna", input_tokens=7, output_tokens=3, usd=0.5)
# What the stand-in's 1000 and 200 tokens cost: a price of 1 and 5 dollars for a million.
ONE_CALL = 0.002
ENGINE = {"analyzer": "openai", "text_usd_per_million_input": "1", "text_usd_per_million_output": "5"}


@pytest.fixture
def store(redis_client: redis.Redis) -> JobStore:
    return store_of(redis_client)


@pytest.fixture
def server():
    with OpenAIServer() as server:
        server.answers["video"] = {
            "hook": "Hello there.", "entry_style": "greeting", "niche": "talk", "structure": "story", "emotion": "calm"
        }  # fmt: skip
        yield server


def test_failed_attempts_are_part_of_the_cost_of_a_job_that_succeeds(store: JobStore) -> None:
    accepted(store)
    advance_to(store, Stage.ANALYZE)
    for run in (1, 2):
        claim = claimed(store, stage=Stage.ANALYZE, run=run)
        assert store.postpone(claim, JobError("analysis_failed", usage=(SPENT,)), 0, {})
        store.take_over(JOB, run, "due")
    assert cost_of(store, JOB) == 1.25

    store.advance(claimed(store, stage=Stage.ANALYZE, run=3), OUTPUTS[Stage.ANALYZE], {})
    store.succeed(claimed(store, stage=Stage.IDEAS, run=3), OUTPUTS[Stage.IDEAS], {})
    cost = json.loads(store.outcome(JOB) or b"")["result"]["cost"]
    assert cost["usd"] == 1.25
    assert [item["usd"] for item in cost["items"]] == [0.5, 0.5, 0.25]


def test_a_job_that_failed_keeps_what_it_cost_when_it_is_driven_again(store: JobStore) -> None:
    accepted(store)
    advance_to(store, Stage.ANALYZE)
    store.fail(claimed(store, stage=Stage.ANALYZE), JobError("analysis_failed", usage=(SPENT,)), {})
    assert cost_of(store, JOB) == 0.75

    store.retry(JOB)
    assert cost_of(store, JOB) == 0.75


def test_a_record_that_is_sent_twice_is_paid_for_once(store: JobStore) -> None:
    accepted(store)
    claim = claimed(store)
    for _ in range(2):
        assert store.postpone(claim, JobError("analysis_failed", usage=(SPENT,)), 0, {})

    assert cost_of(store, JOB) == 0.5


def test_what_a_cancelled_job_spent_is_refused_as_all_its_results_are(store: JobStore) -> None:
    accepted(store)
    claim = claimed(store)
    store.cancel(JOB)

    assert not store.postpone(claim, JobError("analysis_failed", usage=(SPENT,)), 0, {})
    assert cost_of(store, JOB) == 0


def start(fleet: Fleet, server: OpenAIServer) -> None:
    fleet.start(stub={"real": "analyze"}, text_base_url=server.base_url, text_api_key=server.api_key, **ENGINE)


def counted(fleet: Fleet) -> float:
    return float(fleet.redis.hget("coop:metrics", '["coop_cost_usd_total", "value", "gpt-6-luna"]') or 0)


def test_an_answer_that_is_cut_off_and_the_next_one_are_both_paid_for(
    own_redis: RedisServer, server: OpenAIServer, tmp_path: Path
) -> None:
    server.script("chat", cut_off())
    with fleet_on(own_redis.url, tmp_path) as fleet:
        start(fleet, server)
        job_id = fleet.submit()

        assert fleet.ended().status is JobStatus.SUCCEEDED
        assert cost_of(fleet.store, job_id) == 0.25 + 2 * ONE_CALL
        assert counted(fleet) == pytest.approx(2 * ONE_CALL)


def test_a_refusal_that_fails_the_job_is_paid_for(own_redis: RedisServer, server: OpenAIServer, tmp_path: Path) -> None:
    server.script("chat", refusal())
    with fleet_on(own_redis.url, tmp_path) as fleet:
        start(fleet, server)
        job_id = fleet.submit()

        assert fleet.ended().status is JobStatus.FAILED
        assert cost_of(fleet.store, job_id) == 0.25 + ONE_CALL
        assert counted(fleet) == pytest.approx(ONE_CALL)
