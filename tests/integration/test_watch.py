"""A worker process that no longer works is ended: by silence of Redis, or messages that its consumer does not take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from coop import queue
from coop.clients import ClientRegistry
from coop.job_store import JobStore
from tests.support.jobs import accepted, claimed, settings_of
from tests.support.redis_server import RedisServer
from workers import watch
from workers.leases import LeaseKeeper
from workers.process import WorkerProcess


@pytest.fixture
def process(redis_client: redis.Redis, redis_server: RedisServer, tmp_path: Path) -> Iterator[WorkerProcess]:
    settings = settings_of(redis_server.url, data_dir=str(tmp_path))
    store = JobStore(redis_client, settings)
    queue.use_as_publisher(redis_server.url, 5)
    yield WorkerProcess(settings, redis_client, store, ClientRegistry(redis_client), LeaseKeeper(store, 30))
    queue.close()


@pytest.fixture
def restarts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the watch decided; a second is an hour here."""
    monkeypatch.setattr(watch, "DEAF_SECONDS", 0.0)
    monkeypatch.setattr(watch, "SILENCE_SECONDS", -1.0)
    return []


def watch_of(process: WorkerProcess, restarts: list[str], slots: int = 1) -> watch.Watch:
    return watch.Watch(process, slots, lambda: restarts.append("restart"))


def test_a_message_that_lies_before_a_free_slot_ends_the_process(
    process: WorkerProcess, restarts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SILENCE_SECONDS", 60.0)
    queue.enqueue(accepted(process.store).job)
    watching = watch_of(process, restarts)

    watching.tick()

    assert restarts == ["restart"]


def test_a_backlog_before_busy_slots_is_no_reason(
    process: WorkerProcess, restarts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SILENCE_SECONDS", 60.0)
    monkeypatch.setattr(watch, "DEAF_SECONDS", 0.001)
    accepted(process.store, "running")
    queue.enqueue(accepted(process.store).job)
    watching = watch_of(process, restarts)

    with process.leases.hold(claimed(process.store, "running")):
        for _ in range(3):
            watching.tick()

    assert restarts == []


def test_a_worker_that_takes_one_message_after_the_other_is_well(
    process: WorkerProcess, restarts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SILENCE_SECONDS", 60.0)
    monkeypatch.setattr(watch, "DEAF_SECONDS", 0.001)
    queue.enqueue(accepted(process.store, "of-low-priority").job)
    watching = watch_of(process, restarts)

    for number in range(3):
        watching.tick()
        accepted(process.store, f"r{number}")
        with process.leases.hold(claimed(process.store, f"r{number}")):
            pass

    assert restarts == []


def test_a_redis_that_is_silent_for_too_long_ends_the_process(process: WorkerProcess, restarts: list[str]) -> None:
    away = JobStore(redis.Redis(port=1), process.settings)
    silent = WorkerProcess(process.settings, away.redis, away, process.clients, process.leases)

    watch_of(silent, restarts).tick()

    assert restarts == ["restart"]
