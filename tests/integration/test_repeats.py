"""The same video again is not done again, and never at the cost of what the first one promised."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from coop.job_store import Claim, JobStore
from coop.jobs import JobOptions, JobStatus, Stage, StageStatus
from coop.results import Found
from tests.support.fleet import Fleet, fleet_on
from tests.support.jobs import CLIENT, OUTPUTS, accepted, claimed, cost_of, settings_of, store_of
from tests.support.redis_server import RedisServer
from workers.repeats import key_of, normalised, recall, remember

FOUND = Found.model_validate({stage.value: output for stage, output in OUTPUTS.items()})


@pytest.fixture
def store(redis_client: redis.Redis) -> JobStore:
    return store_of(redis_client)


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path) -> Iterator[Fleet]:
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    with fleet_on(redis_server.url, tmp_path) as fleet:
        fleet.start(cache_days="1")
        yield fleet


def test_the_same_video_again_is_answered_with_the_same_and_costs_nothing(fleet: Fleet) -> None:
    results = []
    for name in ("r1", "r2"):
        fleet.submit(name)
        assert fleet.ended(name).status is JobStatus.SUCCEEDED
        results.append(json.loads(fleet.store.outcome(f"{CLIENT}:{name}") or b"")["result"])

    first, again = results
    assert (first["cached"], first["cost"]["usd"]) == (False, 0.25)
    assert (again["cached"], again["cost"]) == (True, {"usd": 0.0, "items": []})
    assert {**again, "cached": False, "cost": first["cost"]} == first
    assert cost_of(fleet.store, f"{CLIENT}:r2") == 0


def test_the_stages_that_were_spared_are_shown_as_skipped(fleet: Fleet) -> None:
    for name in ("r1", "r2"):
        fleet.submit(name)
        job = fleet.ended(name)

    shown = {record.name: record.status for record in job.stages}
    assert shown[Stage.METADATA] is StageStatus.SUCCEEDED
    assert {shown[stage] for stage in (Stage.DOWNLOAD, Stage.TRANSCRIBE, Stage.ANALYZE, Stage.IDEAS)} == {
        StageStatus.SKIPPED
    }


def test_a_job_that_failed_is_not_remembered(fleet: Fleet) -> None:
    for name in ("r1", "r2"):
        fleet.submit(name, video_url="https://stub/?download.error=video_private")
        assert fleet.ended(name).status is JobStatus.FAILED


def test_a_holder_that_has_lost_its_lease_ends_nothing(store: JobStore) -> None:
    accepted(store)
    lost = replace(claimed(store), token="stale")

    assert not store.recall(lost, FOUND, {})
    assert store.outcome(f"{CLIENT}:r1") is None


def test_an_answer_that_was_lost_on_its_way_is_given_again(store: JobStore) -> None:
    accepted(store)
    claim = claimed(store)

    assert store.recall(claim, FOUND, {})
    assert store.recall(claim, FOUND, {})


def test_a_recalled_job_goes_on_with_its_delivery(store: JobStore) -> None:
    accepted(store)
    store.recall(claimed(store), FOUND, {})

    assert isinstance(store.claim(f"{CLIENT}:r1", 1, Stage.DELIVER, "mill"), Claim)


def test_only_the_newest_results_are_kept(redis_client: redis.Redis) -> None:
    store = store_of(redis_client, cache_results="2")
    for name in "abc":
        store.remember(name, FOUND)

    assert [store.known(name) is not None for name in "abc"] == [False, True, True]


def test_a_result_is_forgotten_in_time(redis_client: redis.Redis) -> None:
    store_of(redis_client, cache_days="0.5").remember("a", FOUND)

    assert 43_000 < redis_client.ttl("coop:result:a") <= 43_200


def test_what_another_version_left_is_passed_over(store: JobStore, redis_client: redis.Redis) -> None:
    redis_client.set("coop:result:a", '{"metadata": 7}')
    redis_client.set("coop:result:b", "{}")

    assert [store.known(name) for name in "ab"] == [None, None]


def test_without_an_answer_of_redis_it_is_found_out_again(store: JobStore, redis_client: redis.Redis) -> None:
    job, settings = accepted(store).job, settings_of("redis://unused")
    redis_client.lpush(f"coop:result:{key_of(job, settings)}", "not what is asked for")

    assert recall(store, job, settings) is None


def test_off_is_off(store: JobStore, redis_client: redis.Redis) -> None:
    job = accepted(store).job
    settings = settings_of("redis://unused", cache_days="0")
    remember(store, job, FOUND, settings)

    assert redis_client.keys("coop:result*") == []
    assert recall(store, job, settings) is None


def test_a_job_that_is_driven_again_wants_it_anew(store: JobStore) -> None:
    settings, job = settings_of("redis://unused"), accepted(store).job
    remember(store, job, FOUND, settings)

    assert recall(store, job, settings)
    assert recall(store, replace(job, run=2), settings) is None


@pytest.mark.parametrize(
    "change",
    [{"client": "other"}, {"video_url": "https://example.org/w"}, {"options": JobOptions(ideas=4)}],
    ids=lambda change: next(iter(change)),
)
def test_what_the_findings_depend_on_is_in_the_key(store: JobStore, change: dict[str, object]) -> None:
    settings, job = settings_of("redis://unused"), accepted(store).job

    assert key_of(job, settings) != key_of(replace(job, **change), settings)


def test_another_engine_is_asked_for_itself(store: JobStore) -> None:
    job = accepted(store).job
    keys = {key_of(job, settings_of("redis://unused", text_model=model, text_api_key="k")) for model in ("a", "b")}

    assert len(keys) == 2


def test_an_address_is_the_same_whoever_passed_it_on() -> None:
    plain = "https://example.org/Watch?v=1&t=5#x"

    assert normalised("HTTPS://Example.org/Watch?v=1&utm_source=mail&t=5&fbclid=2#x") == normalised(plain)
    assert normalised("https://example.org/watch?v=1") != normalised(plain)
