"""Workers that are frozen, live in another time, are told the same thing five times, do not stop, or are newer."""

from __future__ import annotations

import json
import signal
import time

from coop import queue
from coop.job_store import Claim
from coop.jobs import DeliveryStatus, JobStatus, Stage, StageStatus
from tests.support.callback_receiver import CallbackReceiver
from tests.support.fleet import Fleet, eventually
from tests.support.jobs import OUTPUTS


def test_a_worker_frozen_for_longer_than_its_lease_can_write_and_deliver_nothing(fleet: Fleet) -> None:
    with CallbackReceiver(fleet.secret) as receiver:
        frozen = fleet.start("frozen", lease_seconds="3")
        fleet.submit("r1", "https://stub/?ideas.seconds=1&ideas.times=1", receiver.url)
        fleet.when(lambda job: job.stages[4].status is StageStatus.RUNNING, "r1")
        frozen.pause()
        fleet.start("other", lease_seconds="3")
        job = fleet.ended("r1", 30)
        frozen.resume()
        eventually(lambda: any(word in frozen.log.read_bytes() for word in (b"result refused", b"lease lost")))
        fleet.submit("r2", callback_url=receiver.url)
        fleet.ended("r2")
        callbacks = receiver.arrived()

    assert (job.status, job.machine, job.run) == (JobStatus.SUCCEEDED, "other", 2)
    assert fleet.job("r1") == job
    assert [callback.document["requestId"] for callback in callbacks].count("r1") == 1


def test_the_clock_of_a_worker_is_of_no_account(fleet: Fleet) -> None:
    with CallbackReceiver(fleet.secret) as receiver:
        receiver.answer = 500
        fast = fleet.start("fast", stub={"clock": "600", "delays": "1,60"}, lease_seconds="3")
        fleet.submit("r1", "https://stub/?download.error=source_error&download.times=1", receiver.url)
        first = receiver.wait(20)
        receiver.answer = 204
        second = receiver.wait(20)
        job = fleet.ended("r1")
        fast.kill()
        fleet.start("slow", stub={"clock": "-600"}, lease_seconds="3")
        fleet.submit("r2", callback_url=receiver.url)
        third = receiver.wait(20)

    # The receiver's library refuses a message whose time is more than five minutes off.
    assert [callback.problem for callback in (first, second, third)] == [None, None, None]
    now = fleet.store.now_ms()
    assert all(0 < now - (record.ended_at or 0) < 60_000 for record in job.stages)
    assert all(0 < now - attempt.at < 60_000 for attempt in job.delivery.attempts)


def test_the_same_message_five_times_at_once_is_one_run_of_each_stage(fleet: Fleet) -> None:
    with CallbackReceiver(fleet.secret) as receiver:
        job = fleet.accept("r1", "https://stub/?metadata.seconds=1&transcribe.seconds=0.5", receiver.url)
        for _ in range(5):
            queue.enqueue(job)
        for name in ("one", "two"):
            fleet.start(name, ready=False)
        job = fleet.ended("r1", 40)
        for worker in fleet.workers:
            worker.wait_until_ready()
        eventually(lambda: fleet.redis.llen("coop.metadata\x06\x165") == 0)
        fleet.submit("r2", callback_url=receiver.url)
        fleet.ended("r2")
        callbacks = receiver.arrived()

    assert (job.status, job.run) == (JobStatus.SUCCEEDED, 1)
    assert {record.attempts for record in job.stages} == {1}
    assert sorted(callback.document["requestId"] for callback in callbacks) == ["r1", "r2"]


def test_a_stage_that_does_not_stop_is_handed_back_within_the_shutdown_time(fleet: Fleet) -> None:
    worker = fleet.start("deaf", supervised=True, shutdown_seconds="4")
    fleet.submit("r1", "https://stub/?download.deaf=100&download.times=1")
    fleet.submit("r2", "https://stub/?transcribe.seconds=1")
    fleet.when(lambda job: job.stages[1].status is StageStatus.RUNNING, "r1")
    asked_at = time.monotonic()
    worker.signal(signal.SIGTERM)

    assert worker.wait(20) == 0
    print(f"stopped {time.monotonic() - asked_at:.1f} s after SIGTERM, 4 s allowed")  # noqa: T201  # a figure
    assert fleet.store.expired_leases(fleet.store.now_ms() + 10**9, 10) == []
    fleet.start("other")
    jobs = [fleet.ended(name, 30) for name in ("r1", "r2")]
    assert [job.status for job in jobs] == [JobStatus.SUCCEEDED] * 2
    # Neither counts as a crash.
    assert fleet.redis.hget(f"coop:job:{jobs[0].id}", "crashes") is None


def test_a_supervised_worker_killed_again_and_again_comes_back(fleet: Fleet) -> None:
    worker = fleet.start(supervised=True)
    for starts in (2, 3):
        worker.kill()
        worker.wait_until_ready(starts)

    fleet.submit()
    assert fleet.ended().status is JobStatus.SUCCEEDED


def test_a_worker_whose_consumer_takes_no_messages_is_replaced(fleet: Fleet) -> None:
    note = str(fleet.folder / "deaf")
    worker = fleet.start(supervised=True, stub={"deaf": note})
    fleet.submit()

    assert fleet.ended(seconds=60).status is JobStatus.SUCCEEDED
    assert "messages wait and are not taken" in worker.log.read_text()
    assert worker.starts == 2


def test_what_a_newer_version_wrote_is_kept_and_delivered_by_an_older_one(fleet: Fleet) -> None:
    with CallbackReceiver(fleet.secret) as receiver:
        job = fleet.accept("r1", callback_url=receiver.url)
        claim = fleet.store.claim(job.id, 1, Stage.METADATA, "newer")
        assert isinstance(claim, Claim)
        source = OUTPUTS[Stage.METADATA].model_copy(update={"mood": "new"})
        assert fleet.store.advance(claim, source, {})
        newer = {
            "options": '{"ideas": 3, "voice": "new"}',
            "of_tomorrow": "x",
            "delivery_attempts": '{"at": 1, "status": 500, "error": "e", "milliseconds": 3, "of_tomorrow": 1}',
        }
        fleet.redis.hset(f"coop:job:{job.id}", mapping=newer)
        queue.enqueue(fleet.job("r1"))
        fleet.start()
        ended = fleet.ended("r1", 30)

    kept = {name.decode(): value.decode() for name, value in fleet.redis.hgetall(f"coop:job:{job.id}").items()}
    assert (ended.status, ended.delivery.status) == (JobStatus.SUCCEEDED, DeliveryStatus.DELIVERED)
    assert (kept["options"], kept["of_tomorrow"]) == (newer["options"], newer["of_tomorrow"])
    assert json.loads(kept["found.metadata"])["mood"] == "new"
    assert kept["delivery_attempts"].splitlines()[0] == newer["delivery_attempts"]
