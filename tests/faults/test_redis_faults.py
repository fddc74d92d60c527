"""Redis is killed, frozen, full, or a replica that takes no writes; and the gateway dies at the worst moment."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from coop.clients import ClientRegistry
from coop.job_store import JobStore
from coop.jobs import JobStatus, Stage, StageStatus
from coop.sdk import Coop, CoopError, Unreachable
from tests.support.fleet import Fleet, eventually
from tests.support.gateway import served_on
from tests.support.jobs import CLIENT, OUTPUTS, accepted, advance_to, claimed, store_of
from tests.support.redis_server import RedisServer, free_port

VIDEO = "https://stub.example.org/"


def submit(client: Coop, request_id: str) -> int | None:
    """The answer's status; None when the gateway could not be reached at all."""
    try:
        client.submit(VIDEO, request_id=request_id)
    except CoopError as error:
        return error.status
    except Unreachable:
        return None
    return 202


@contextmanager
def no_room(client: redis.Redis) -> Iterator[None]:
    client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)


def test_every_202_survives_a_redis_killed_in_a_storm_of_submissions(
    fleet: Fleet, own_redis: RedisServer, tmp_path: Path
) -> None:
    fleet.start(supervised=True, lease_seconds="5")
    with served_on(own_redis.url, tmp_path) as gateway, ThreadPoolExecutor(4) as callers:
        storm = [callers.submit(submit, gateway.client, f"r{number}") for number in range(150)]
        eventually(lambda: sum(each.done() for each in storm) >= 40)
        own_redis.kill()
        eventually(lambda: sum(each.done() for each in storm) >= 60)
        own_redis.start()
        answers = [each.result() for each in storm]
        kept = [f"r{number}" for number, answer in enumerate(answers) if answer == 202]

        assert set(answers) == {202, 503}
        for request_id in kept:
            eventually(lambda name=request_id: gateway.client.job(name)["status"] == "succeeded", 60)  # type: ignore[misc]
        assert fleet.store.census().in_flight[Stage.METADATA] == 0


def test_a_redis_that_is_frozen_is_a_503_and_the_same_request_again_is_one_job(
    fleet: Fleet, own_redis: RedisServer, tmp_path: Path
) -> None:
    worker = fleet.start(supervised=True, lease_seconds="5")
    fleet.submit("before", "https://stub/?download.seconds=60&download.times=1")
    fleet.when(lambda job: job.stages[1].status is StageStatus.RUNNING, "before")
    with served_on(own_redis.url, tmp_path) as gateway:
        assert submit(gateway.client, "r0") == 202
        own_redis.pause()
        thaw = threading.Timer(30, own_redis.resume)
        thaw.start()
        started = time.monotonic()
        answer = submit(gateway.client, "r1")
        took = time.monotonic() - started
        print(f"a frozen Redis is answered with {answer} after {took:.1f} s")  # noqa: T201  # a figure
        thaw.join()

        assert (answer, took < 5) == (503, True)
        # What was sent into the frozen Redis was not taken up after the thaw, as the 503 said.
        assert [job["requestId"] for job in gateway.client.jobs()["jobs"]] == ["r0"]
        assert [submit(gateway.client, "r1") for _ in range(2)] == [202, 202]
        eventually(lambda: gateway.client.job("r1")["status"] == "succeeded", 40)
        assert len(gateway.client.jobs()["jobs"]) == 2
    # The running stage was not taken from a worker that had only waited for the same Redis.
    fleet.store.cancel(fleet.job("before").id)
    assert (fleet.job("before").stages[1].attempts, worker.starts) == (1, 1)


def test_a_full_redis_accepts_nothing_and_the_fleet_goes_on_when_there_is_room(
    fleet: Fleet, own_redis: RedisServer, tmp_path: Path
) -> None:
    worker = fleet.start(lease_seconds="2")
    fleet.submit("running", "https://stub/?ideas.seconds=4")
    fleet.submit("saving", "https://stub/?download.seconds=4&download.times=1")
    fleet.when(lambda job: job.stages[4].status is StageStatus.RUNNING, "running")
    with served_on(own_redis.url, tmp_path) as gateway:
        with no_room(fleet.redis):
            assert submit(gateway.client, "r1") == 503
            # What needs no room to speak of comes to its end meanwhile, and what needs some waits for it.
            fleet.when(lambda job: job.status is JobStatus.SUCCEEDED, "running")
            fleet.when(lambda job: job.stages[1].status is StageStatus.RETRYING, "saving")

        assert fleet.ended("saving", 30).status is JobStatus.SUCCEEDED
        assert submit(gateway.client, "r1") == 202
        eventually(lambda: gateway.client.job("r1")["status"] == "succeeded", 30)
    assert worker.process
    assert worker.process.poll() is None
    assert fleet.job("running").stages[4].attempts == 1


@pytest.mark.parametrize("stage", list(OUTPUTS))
def test_a_transition_that_redis_has_no_room_for_is_whole_or_not_at_all(own_redis: RedisServer, stage: Stage) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        store = store_of(client)
        accepted(store)
        advance_to(store, stage)
        claim = claimed(store, stage=stage)
        with no_room(client):
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                accepted(store, "r2")
            assert store.renew([claim]) == set()
            write = store.succeed if stage is Stage.IDEAS else store.advance
            assert write(claim, OUTPUTS[stage], {})
        assert store.get(f"{CLIENT}:r2") is None
        assert in_one_place(store) == 1


def test_a_replica_takes_no_job_and_the_fleet_goes_on_when_it_is_a_master_again(
    fleet: Fleet, own_redis: RedisServer, tmp_path: Path
) -> None:
    worker = fleet.start(supervised=True, lease_seconds="2")
    with served_on(own_redis.url, tmp_path) as gateway:
        fleet.submit("running", "https://stub/?ideas.seconds=3")
        fleet.when(lambda job: job.stages[4].status is StageStatus.RUNNING, "running")
        fleet.redis.replicaof("127.0.0.1", 1)  # a master that is not there: it keeps its data and refuses writes
        try:
            assert submit(gateway.client, "r1") == 503
            with pytest.raises(redis.exceptions.ReadOnlyError):
                fleet.accept("r2")
        finally:
            fleet.redis.replicaof("NO", "ONE")

        assert fleet.ended("running", 30).status is JobStatus.SUCCEEDED
        assert submit(gateway.client, "r1") == 202
        eventually(lambda: gateway.client.job("r1")["status"] == "succeeded", 60)
    # Celery's consumer ends itself at the word that the server changed its role; the supervisor starts another.
    assert worker.starts >= 2


def test_a_gateway_killed_before_its_answer_has_accepted_the_job_and_sent_its_message(fleet: Fleet) -> None:
    port = free_port()
    credentials = ClientRegistry(fleet.redis).add("web")
    worker = fleet.start(lease_seconds="3")
    environment = {**worker.environment, "COOP_PORT": str(port)}
    with (fleet.folder / "gateway.log").open("wb") as log:
        gateway = subprocess.Popen(
            [sys.executable, "-m", "tests.support.dying_gateway"], env=environment, stdout=log, stderr=log
        )
    caller = Coop(f"http://127.0.0.1:{port}", credentials.api_key, credentials.signing_secret)
    eventually(lambda: gateway.poll() is not None or submit(caller, "r1") is not None or gateway.poll() is not None)

    assert gateway.wait(10) == -9
    job = eventually(lambda: (found := fleet.store.get("web:r1")) and found.status.is_final and found, 30)
    assert (job.status, job.run) == (JobStatus.SUCCEEDED, 1)


def in_one_place(store: JobStore) -> int:
    """In how many of the places that drive it on the job stands: it waits, is leased, or is due."""
    names = [*store.redis.keys("coop:waiting:*"), *store.redis.keys("coop:leases:*"), b"coop:due"]
    return sum(store.redis.zscore(name, f"{CLIENT}:r1") is not None for name in names)
