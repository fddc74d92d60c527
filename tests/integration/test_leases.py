"""A process' leases: renewed while the work goes on, stopped when lost, handed back at the end."""

from __future__ import annotations

import threading

import pytest
import redis

from coop.job_store import JobStore
from coop.jobs import Stage
from tests.support.fleet import eventually
from tests.support.jobs import CLIENT, accepted, claimed, store_of
from workers.leases import LeaseKeeper

JOB = f"{CLIENT}:r1"


@pytest.fixture
def store(redis_client: redis.Redis) -> JobStore:
    return store_of(redis_client, lease_seconds="1")


@pytest.fixture
def keeper(store: JobStore) -> LeaseKeeper:
    accepted(store)
    return LeaseKeeper(store, lease_seconds=1)


def lease_end(store: JobStore) -> float:
    return store.redis.zscore(f"coop:leases:{Stage.METADATA}", JOB) or 0


def test_a_lease_is_renewed_for_as_long_as_its_stage_runs(store: JobStore, keeper: LeaseKeeper) -> None:
    with keeper.hold(claimed(store)) as lease:
        first = lease_end(store)
        eventually(lambda: lease_end(store) > first + 1000, 10)
        assert keeper.busy == 1

    assert (keeper.busy, keeper.begun, lease.is_lost) == (0, 1, False)


def test_work_is_stopped_within_two_seconds_of_a_cancel(store: JobStore, keeper: LeaseKeeper) -> None:
    with keeper.hold(claimed(store)) as lease:
        store.cancel(JOB)

        assert lease.cancelled.wait(2)
        assert lease.is_lost


def test_an_answer_that_does_not_come_loses_no_lease(store: JobStore) -> None:
    accepted(store)
    claim = claimed(store)
    away = JobStore(redis.Redis(port=1), store._settings)
    keeper = LeaseKeeper(away, lease_seconds=0.3)
    with keeper.hold(claim) as lease:
        assert not lease.cancelled.wait(1)


def test_who_asks_learns_at_once_that_the_lease_is_gone(store: JobStore, keeper: LeaseKeeper) -> None:
    with keeper.hold(claimed(store)) as lease:
        assert keeper.is_held(lease)
        store.cancel(JOB)
        assert not keeper.is_held(lease)


def test_a_process_that_stops_stops_also_what_begins_later(store: JobStore, keeper: LeaseKeeper) -> None:
    keeper.stop_all()

    with keeper.hold(claimed(store)) as lease:
        assert lease.cancelled.is_set()
        assert not lease.is_lost


def test_what_does_not_stop_is_handed_back_and_cannot_write(store: JobStore, keeper: LeaseKeeper) -> None:
    held, end = threading.Event(), threading.Event()

    def work() -> None:
        with keeper.hold(claimed(store)):
            held.set()
            end.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    held.wait(5)
    keeper.hand_back_all()
    end.set()
    thread.join()

    assert store.due(store.now_ms(), 10) == [JOB]
    assert store.expired_leases(store.now_ms() + 10**6, 10) == []
