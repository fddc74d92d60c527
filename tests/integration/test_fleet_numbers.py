"""What the metrics' help says is what their numbers are."""

from __future__ import annotations

import json

import pytest
import redis

from api.routes.metrics import gauges_of
from coop.commands import up
from coop.errors import JobError
from coop.job_store import JobStore
from coop.jobs import Priority, Stage
from coop.metrics import METRICS_KEY
from tests.support.jobs import CLIENT, OUTPUTS, accepted, advance_to, claimed, settings_of, store_of

DAY_MS = 86_400_000


@pytest.fixture
def store(redis_client: redis.Redis) -> JobStore:
    return store_of(redis_client)


def test_in_flight_are_the_jobs_that_a_worker_works_on_by_stage(store: JobStore) -> None:
    for request_id in ("waits", "first", "third"):
        accepted(store, request_id)
    advance_to(store, Stage.TRANSCRIBE, "third")
    claimed(store, "first")
    claimed(store, "third", Stage.TRANSCRIBE)

    found = gauges_of(store.census())["coop_jobs_in_flight"]

    assert {stage: number for (stage,), number in found.items() if number} == {Stage.METADATA: 1, Stage.TRANSCRIBE: 1}


def test_the_queue_holds_the_jobs_that_wait_at_any_stage(store: JobStore) -> None:
    accepted(store, "first", priority=Priority.HIGH)
    accepted(store, "third", priority=Priority.HIGH)
    advance_to(store, Stage.TRANSCRIBE, "third")

    assert gauges_of(store.census())["coop_queue_depth"]["high",] == 2


def test_the_oldest_is_the_one_that_has_waited_longest_at_its_stage(store: JobStore, redis_client: redis.Redis) -> None:
    accepted(store, "first")
    accepted(store, "third")
    advance_to(store, Stage.TRANSCRIBE, "third")
    redis_client.zadd("coop:waiting:transcribe:normal", {f"{CLIENT}:third": store.now_ms() - 60_000})

    assert gauges_of(store.census())["coop_queue_oldest_seconds"][()] >= 60


def test_a_job_driven_again_days_later_took_no_days(store: JobStore, redis_client: redis.Redis) -> None:
    job_id = accepted(store).job.id
    advance_to(store, Stage.IDEAS)
    assert store.fail(claimed(store, stage=Stage.IDEAS), JobError("analysis_failed"), {})
    redis_client.delete(METRICS_KEY)
    long_ago = store.now_ms() - 3 * DAY_MS
    redis_client.hset(f"coop:job:{job_id}", mapping={"accepted_at": long_ago, "started_at": long_ago})

    store.retry(job_id)
    assert store.succeed(claimed(store, stage=Stage.IDEAS, run=2), OUTPUTS[Stage.IDEAS], {})

    assert int(redis_client.get("coop:mean_job_ms") or 0) < DAY_MS
    seconds = redis_client.hget(METRICS_KEY, json.dumps(["coop_job_duration_seconds", "sum"]))
    assert float(seconds or 0) < DAY_MS / 1000


def test_a_machine_is_counted_once_and_known_by_its_name(store: JobStore) -> None:
    for worker in ("mill@1", "mill@2", "odd@name@3"):
        store.announce_worker(worker, 4, 1)

    census = store.census()

    assert census.machine_names == {"mill", "odd@name"}
    assert gauges_of(census)["coop_machines"][()] == 2


def test_coop_up_waits_for_its_own_worker_not_for_any(store: JobStore) -> None:
    worker = up._worker(settings_of("redis://unused", machine="mill"), store)
    store.announce_worker("other@1", 4, 0)
    before = worker.address()
    store.announce_worker("mill@2", 4, 0)

    assert before is None
    assert worker.address()
