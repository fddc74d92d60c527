"""Who has lost the lease on a delivery sends nothing, however late it learns of that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from coop.clients import ClientRegistry
from coop.errors import Cancelled
from coop.job_store import JobStore
from coop.jobs import Stage
from coop.queue import app
from tests.support.callback_receiver import CallbackReceiver
from tests.support.jobs import CLIENT, accepted, advance_to, claimed, settings_of
from workers import tasks
from workers.leases import LeaseKeeper
from workers.process import WorkerProcess


@pytest.fixture
def receiver(redis_client: redis.Redis) -> Iterator[CallbackReceiver]:
    with CallbackReceiver(ClientRegistry(redis_client).add(CLIENT).signing_secret) as receiver:
        yield receiver


@pytest.fixture
def process(redis_client: redis.Redis, tmp_path: Path) -> WorkerProcess:
    settings = settings_of("redis://unused", data_dir=str(tmp_path), allow_networks="127.0.0.0/8")
    store = JobStore(redis_client, settings)
    return WorkerProcess(settings, redis_client, store, ClientRegistry(redis_client), LeaseKeeper(store, 30))


def test_a_delivery_that_another_run_has_taken_over_is_not_sent(
    process: WorkerProcess, receiver: CallbackReceiver
) -> None:
    store = process.store
    accepted(store, callback_url=receiver.url)
    advance_to(store, Stage.DELIVER)
    task = app.tasks[Stage.DELIVER.task]
    assert isinstance(task, tasks.DeliverTask)
    with process.leases.hold(claimed(store, stage=Stage.DELIVER)) as lease:
        store.redis.zadd(f"coop:leases:{Stage.DELIVER}", {lease.claim.job.id: 1})
        assert store.take_over(lease.claim.job.id, 1, "crashed")

        with pytest.raises(Cancelled):
            task.work(process, lease)

    assert receiver.arrived() == []
