"""What the reaper drives on, and what it leaves alone: one process, a real Redis, messages that nobody takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from coop import queue
from coop.job_store import Claim, JobStore
from coop.jobs import DeliveryStatus, Job, JobStatus, Priority, Stage
from tests.support.jobs import CLIENT, accepted, advance_to, claimed, settings_of
from tests.support.redis_server import RedisServer
from workers.reaper import Reaper

LONG_AGO = 60_000


@pytest.fixture
def store(redis_client: redis.Redis, redis_server: RedisServer) -> Iterator[JobStore]:
    queue.use_as_publisher(redis_server.url, 5)
    yield JobStore(redis_client, settings_of(redis_server.url, lease_seconds="1"))
    queue.close()


@pytest.fixture
def reaper(store: JobStore, redis_server: RedisServer, tmp_path: Path) -> Reaper:
    """One that has seen Redis answer for long enough."""
    reaper = Reaper(store, settings_of(redis_server.url, lease_seconds="1", data_dir=str(tmp_path)))
    reaper._steady_since -= 60
    return reaper


def job_of(store: JobStore, request_id: str = "r1") -> Job:
    job = store.get(f"{CLIENT}:{request_id}")
    assert job
    return job


def has_waited(store: JobStore, request_id: str, milliseconds: int = LONG_AGO) -> None:
    """As if it had begun to wait so long ago."""
    job = job_of(store, request_id)
    key = f"coop:waiting:{job.stage}:{job.priority}"
    store.redis.zadd(key, {job.id: store.now_ms() - milliseconds})


def messages(store: JobStore, stage: Stage = Stage.METADATA) -> int:
    return int(store.redis.llen(queue.list_of(stage, Priority.NORMAL)))


def test_a_waiting_job_without_a_message_gets_one_in_a_new_run(store: JobStore, reaper: Reaper) -> None:
    accepted(store)
    has_waited(store, "r1")

    reaper.tick()

    assert (job_of(store).run, messages(store)) == (2, 1)


def test_a_job_that_has_just_begun_to_wait_is_given_time(store: JobStore, reaper: Reaper) -> None:
    accepted(store)

    reaper.tick()

    assert (job_of(store).run, messages(store)) == (1, 0)


def test_a_backlog_that_waits_for_hours_gets_no_second_messages(store: JobStore, reaper: Reaper) -> None:
    for number in range(20):
        queue.enqueue(accepted(store, f"r{number}").job)
        has_waited(store, f"r{number}", 3_600_000 - number)

    for _ in range(3):
        reaper._next_lost = 0
        reaper.tick()

    assert messages(store) == 20
    assert {job_of(store, f"r{number}").run for number in range(20)} == {1}


def test_behind_a_backlog_a_job_that_lost_its_message_is_found_when_its_turn_has_passed(
    store: JobStore, reaper: Reaper
) -> None:
    accepted(store, "lost")
    has_waited(store, "lost", 2 * LONG_AGO)
    queue.enqueue(accepted(store, "next").job)
    has_waited(store, "next")

    reaper.tick()

    assert (job_of(store, "lost").run, job_of(store, "next").run) == (2, 1)


def test_a_stale_message_at_the_head_says_nothing_of_those_behind_it(store: JobStore, reaper: Reaper) -> None:
    """Its job waits again, later, with a message of a newer run: by that time all others would seem to be lost."""
    for name in ("old", "r1", "r2"):
        queue.enqueue(accepted(store, name).job)
    for name in ("r1", "r2"):
        has_waited(store, name)
    store.cancel(f"{CLIENT}:old")
    queue.enqueue(store.retry(f"{CLIENT}:old"))

    reaper.tick()

    assert {job_of(store, name).run for name in ("r1", "r2")} == {1}
    assert messages(store) == 4


def test_a_message_that_came_back_to_the_end_of_its_queue_costs_one_more_and_no_flood(
    store: JobStore, reaper: Reaper
) -> None:
    for number in range(3):
        queue.enqueue(accepted(store, f"r{number}").job)
        has_waited(store, f"r{number}", LONG_AGO - 10_000 * number)
    name = queue.list_of(Stage.METADATA, Priority.NORMAL)
    store.redis.lpush(name, store.redis.rpop(name))

    for _ in range(3):
        reaper._next_lost = 0
        reaper.tick()

    assert [job_of(store, f"r{number}").run for number in range(3)] == [2, 1, 1]
    assert messages(store) == 4


def test_a_stage_whose_lease_has_ended_goes_on_in_a_new_run(store: JobStore, reaper: Reaper) -> None:
    accepted(store)
    claimed(store)
    store.redis.zadd(f"coop:leases:{Stage.METADATA}", {f"{CLIENT}:r1": 1})

    reaper.tick()

    assert (job_of(store).run, messages(store)) == (2, 1)


def test_after_an_outage_of_redis_live_workers_may_renew_first(store: JobStore, reaper: Reaper) -> None:
    accepted(store)
    claim = claimed(store)
    store.redis.zadd(f"coop:leases:{Stage.METADATA}", {f"{CLIENT}:r1": 1})
    reaper._answered_at -= 60

    reaper.tick()
    assert store.renew([claim]) == set()
    time.sleep(1.1)
    reaper.tick()

    assert job_of(store).run == 2  # the lease of a second has ended again, and this time nobody renewed it


def test_a_job_that_waited_past_its_greatest_age_fails_with_timed_out(store: JobStore, reaper: Reaper) -> None:
    accepted(store)
    has_waited(store, "r1", 25 * 3_600_000)

    reaper.tick()

    assert job_of(store).status is JobStatus.FAILED
    assert b'"timed_out"' in (store.outcome(f"{CLIENT}:r1") or b"")


def test_a_delivery_that_waited_long_is_sent_all_the_same(store: JobStore, reaper: Reaper) -> None:
    accepted(store)
    advance_to(store, Stage.DELIVER)
    has_waited(store, "r1", 25 * 3_600_000)

    reaper.tick()

    assert job_of(store).delivery.status is DeliveryStatus.PENDING
    assert messages(store, Stage.DELIVER) == 1


def test_workers_that_die_over_a_delivery_count_as_one_failed_attempt(store: JobStore, reaper: Reaper) -> None:
    accepted(store)
    advance_to(store, Stage.DELIVER)
    for run in (1, 2, 3):
        assert isinstance(store.claim(f"{CLIENT}:r1", run, Stage.DELIVER, "mill"), Claim)
        store.redis.zadd(f"coop:leases:{Stage.DELIVER}", {f"{CLIENT}:r1": 1})
        reaper.tick()

    delivery = job_of(store).delivery
    assert (delivery.status, [attempt.status for attempt in delivery.attempts]) == (DeliveryStatus.PENDING, [None])
    assert delivery.next_attempt_at
