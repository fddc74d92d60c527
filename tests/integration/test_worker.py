"""A real Celery worker under the policy of `workers.tasks`; only what the stages do is stood in for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis
from celery import Celery
from celery.events.state import State

from coop import queue
from coop.chain_messages import message_of
from coop.clients import ClientRegistry
from coop.jobs import DeliveryStatus, JobStatus, Priority, Stage, StageStatus
from tests.support.callback_receiver import CallbackReceiver
from tests.support.fleet import Fleet, eventually, fleet_on
from tests.support.jobs import CLIENT
from tests.support.redis_server import RedisServer
from workers import watch


@pytest.fixture(scope="module")
def running_fleet(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    with fleet_on(redis_server.url, tmp_path_factory.mktemp("fleet")) as fleet:
        fleet.start()
        yield fleet


@pytest.fixture
def fleet(running_fleet: Fleet) -> Fleet:
    for key in running_fleet.redis.keys("coop:job*"):
        running_fleet.redis.delete(key)
    queue.use_as_publisher(running_fleet.redis_url, 5)  # another test may have published elsewhere
    return running_fleet


def stage_of(fleet: Fleet, stage: Stage) -> tuple[StageStatus, int]:
    record = next(record for record in fleet.job().stages if record.name is stage)
    return record.status, record.attempts


def test_a_job_runs_through_all_six_stages_and_its_callback_verifies(fleet: Fleet) -> None:
    with CallbackReceiver(fleet.secret) as receiver:
        fleet.submit(callback_url=receiver.url)
        job = fleet.ended()
        callback = receiver.wait(5)

    assert (job.status, job.delivery.status) == (JobStatus.SUCCEEDED, DeliveryStatus.DELIVERED)
    assert {record.status for record in job.stages} == {StageStatus.SUCCEEDED}
    assert callback.problem is None
    assert callback.body == fleet.store.outcome(job.id)


def test_a_passing_failure_is_tried_again_by_itself(fleet: Fleet) -> None:
    fleet.submit(video_url="https://stub/?download.error=source_error&download.times=1")

    assert fleet.ended().status is JobStatus.SUCCEEDED
    assert stage_of(fleet, Stage.DOWNLOAD) == (StageStatus.SUCCEEDED, 2)


def test_a_passing_failure_that_stays_ends_the_job_with_its_code(fleet: Fleet) -> None:
    job_id = fleet.submit(video_url="https://stub/?download.error=source_error")

    assert fleet.ended().status is JobStatus.FAILED
    assert stage_of(fleet, Stage.DOWNLOAD) == (StageStatus.FAILED, 3)
    assert json.loads(fleet.store.outcome(job_id) or b"")["error"]["code"] == "source_error"


def test_a_permanent_failure_is_not_tried_again(fleet: Fleet) -> None:
    fleet.submit(video_url="https://stub/?metadata.error=video_private")

    assert fleet.ended().status is JobStatus.FAILED
    assert stage_of(fleet, Stage.METADATA) == (StageStatus.FAILED, 1)
    assert stage_of(fleet, Stage.DOWNLOAD) == (StageStatus.WAITING, 0)


def test_an_error_without_a_name_is_tried_again_and_then_internal(fleet: Fleet) -> None:
    job_id = fleet.submit(video_url="https://stub/?analyze.bug=1")
    fleet.ended()

    error = json.loads(fleet.store.outcome(job_id) or b"")["error"]
    assert (error["code"], error["stage"]) == ("internal", "analyze")
    assert "ZeroDivisionError" in fleet.workers[0].log.read_text()


def test_a_failure_is_delivered_like_a_success(fleet: Fleet) -> None:
    with CallbackReceiver(fleet.secret) as receiver:
        fleet.submit(video_url="https://stub/?metadata.error=video_private", callback_url=receiver.url)
        callback = receiver.wait(10)

    assert callback.problem is None
    assert callback.document["error"]["code"] == "video_private"


def test_a_callback_that_fails_waits_for_the_time_table_and_leaves_the_outcome_alone(fleet: Fleet) -> None:
    with CallbackReceiver(fleet.secret) as receiver:
        receiver.answer = 500
        fleet.submit(callback_url=receiver.url)
        job = fleet.when(lambda job: job.delivery.attempts)

    assert (job.status, job.delivery.status) == (JobStatus.SUCCEEDED, DeliveryStatus.PENDING)
    assert job.delivery.attempts[0].status == 500
    assert 4_000 < (job.delivery.next_attempt_at or 0) - job.delivery.attempts[0].at < 7_000


def test_a_running_job_is_cancelled_and_its_work_stops(fleet: Fleet) -> None:
    job_id = fleet.submit(video_url="https://stub/?download.seconds=60")
    fleet.when(lambda job: job.stage is Stage.DOWNLOAD and job.machine and job.stages[1].status is StageStatus.RUNNING)
    work = fleet.workers[0].data_dir / "work"
    eventually(lambda: list(work.glob("*/*/left-behind")))

    fleet.store.cancel(job_id)

    eventually(lambda: not list(work.glob("*/*")), 5, "the workspace's end")
    assert fleet.ended().status is JobStatus.CANCELLED


def test_a_job_without_a_callback_url_ends_its_chain_without_a_refusal(fleet: Fleet) -> None:
    fleet.workers[0].log.write_text("")
    fleet.submit()
    fleet.ended()

    eventually(lambda: '"reason": "done"' in fleet.workers[0].log.read_text())


def test_a_stale_message_changes_nothing(fleet: Fleet) -> None:
    fleet.submit()
    before = fleet.ended()
    fleet.workers[0].log.write_text("")

    message = message_of(before.id, before.run, Stage.METADATA, before.priority)
    fleet.redis.lpush(queue.list_of(Stage.METADATA, before.priority), message)

    eventually(lambda: "not acted on" in fleet.workers[0].log.read_text())
    assert fleet.job() == before


def test_a_plain_celery_client_sees_the_worker_its_tasks_and_its_queues(fleet: Fleet) -> None:
    with Celery("somebody else's", broker=fleet.redis_url) as client:
        looking = client.control.inspect(timeout=10, limit=1)
        (tasks,) = (looking.registered() or {}).values()
        (queues,) = (looking.active_queues() or {}).values()

    assert [stage.task for stage in Stage if stage.task not in tasks] == []
    assert [entry["name"] for entry in queues] == [stage.queue for stage in reversed(Stage)]


@contextmanager
def watched(fleet: Fleet) -> Iterator[State]:
    """What an event receiver of Celery's own sees while the block runs."""
    state = State()
    ready = threading.Event()
    with Celery("watcher", broker=fleet.redis_url) as client, client.connection_for_read() as connection:
        receiver = client.events.Receiver(connection, handlers={"*": state.event})

        def watch() -> None:
            with suppress(TimeoutError):
                for _ in receiver.consume(limit=None, timeout=2, wakeup=False):
                    ready.set()

        thread = threading.Thread(target=watch)
        thread.start()
        ready.wait(2)
        yield state
        thread.join()


def test_celerys_own_watchers_see_how_every_stage_ended(fleet: Fleet) -> None:
    with watched(fleet) as state:
        fleet.submit("r1", video_url="https://stub/?metadata.error=source_error&metadata.times=1")
        fleet.submit("r2", video_url="https://stub/?metadata.error=video_private")
        fleet.ended("r1")
        fleet.ended("r2")

    seen = {task_id.removeprefix("shop:"): task.state for task_id, task in state.tasks.items()}
    assert (seen["r1:1:metadata"], seen["r1:2:metadata"]) == ("RETRY", "SUCCESS")
    assert seen["r2:1:metadata"] == "FAILURE"
    assert "STARTED" not in seen.values()


def test_a_stage_that_does_not_end_is_ended_at_its_deadline(own_redis: RedisServer, tmp_path: Path) -> None:
    with fleet_on(own_redis.url, tmp_path) as fleet:
        fleet.start(download_deadline_seconds="0.3")
        job_id = fleet.submit(video_url="https://stub/?download.seconds=1")

        assert fleet.ended().status is JobStatus.FAILED
        assert json.loads(fleet.store.outcome(job_id) or b"")["error"]["code"] == "timed_out"


def test_a_job_near_its_end_goes_first_and_then_the_more_urgent_one(own_redis: RedisServer, tmp_path: Path) -> None:
    with fleet_on(own_redis.url, tmp_path) as fleet:
        for name, priority in (("low", Priority.LOW), ("old", Priority.NORMAL), ("new", Priority.NORMAL)):
            fleet.submit(name, priority=priority)
        fleet.submit("high", priority=Priority.HIGH)

        fleet.start(slots="1")
        jobs = [fleet.ended(name) for name in ("high", "old", "new", "low")]

    begun = [job.started_at or 0 for job in jobs]
    ended = [job.ended_at or 0 for job in jobs]
    assert begun == sorted(begun)
    # With one slot, none begins before the one ahead has gone through all its stages.
    assert all(end <= begin for end, begin in zip(ended, begun[1:], strict=False))


def test_a_callback_of_a_removed_client_is_given_up_unsent(own_redis: RedisServer, tmp_path: Path) -> None:
    with fleet_on(own_redis.url, tmp_path) as fleet, CallbackReceiver(fleet.secret) as receiver:
        ClientRegistry(fleet.redis).remove(CLIENT)
        fleet.submit(callback_url=receiver.url)
        fleet.start()
        delivery = fleet.ended().delivery

    assert delivery.status is DeliveryStatus.EXHAUSTED
    assert [(attempt.status, attempt.error) for attempt in delivery.attempts] == [(None, "the client was removed")]


def test_the_metrics_of_a_job_are_in_redis_for_any_gateway(fleet: Fleet) -> None:
    fleet.redis.delete("coop:metrics")
    fleet.submit()
    fleet.ended()

    counted = {field.decode(): float(value) for field, value in fleet.redis.hgetall("coop:metrics").items()}
    assert counted['["coop_jobs_total", "value", "succeeded"]'] == 1
    assert counted['["coop_cost_usd_total", "value", "tiny.en"]'] == 0.25


def test_a_worker_that_is_told_to_stop_hands_its_job_back_and_leaves_no_lease(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    with fleet_on(own_redis.url, tmp_path) as fleet:
        worker = fleet.start(shutdown_seconds="0.1")
        fleet.submit(video_url="https://stub/?download.seconds=60&download.times=1")
        fleet.when(lambda job: job.stages[1].status is StageStatus.RUNNING)

        worker.signal(signal.SIGTERM)

        assert worker.wait(15) == 0
        assert fleet.store.expired_leases(fleet.store.now_ms() + 10**9, 10) == []
        assert not list(worker.data_dir.glob("work/*"))
        fleet.start("other")
        assert fleet.ended().status is JobStatus.SUCCEEDED


def test_a_job_whose_worker_was_killed_goes_on_elsewhere(own_redis: RedisServer, tmp_path: Path) -> None:
    with fleet_on(own_redis.url, tmp_path) as fleet:
        worker = fleet.start()
        fleet.submit(video_url="https://stub/?download.seconds=60&download.times=1")
        fleet.when(lambda job: job.stages[1].status is StageStatus.RUNNING)

        worker.kill()
        fleet.start("other")

        job = fleet.ended()
        assert (job.status, job.run, job.machine) == (JobStatus.SUCCEEDED, 2, "other")


def test_a_job_that_kills_its_workers_three_times_is_failed_naming_the_stage(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    with fleet_on(own_redis.url, tmp_path) as fleet:
        job_id = fleet.submit(video_url="https://stub/?download.crash=1")
        for number in range(3):
            assert fleet.start(f"mill{number}").wait(30) == 1
        fleet.start("last")
        assert fleet.ended().status is JobStatus.FAILED

        error = json.loads(fleet.store.outcome(job_id) or b"")["error"]
        assert (error["code"], error["stage"]) == ("internal", "download")


def test_a_job_whose_message_was_lost_is_found_and_sent_again(own_redis: RedisServer, tmp_path: Path) -> None:
    with fleet_on(own_redis.url, tmp_path) as fleet:
        fleet.submit()
        fleet.redis.delete("coop.metadata\x06\x165")

        fleet.start()

        assert fleet.ended(seconds=30).run == 2


def test_a_worker_whose_start_fails_ends_instead_of_taking_jobs_unwatched() -> None:
    start_with_a_bug = "import workers.app; workers.app._vital(lambda: 1 / 0)()"

    ended = subprocess.run([sys.executable, "-c", start_with_a_bug], capture_output=True, text=True, check=False)

    assert ended.returncode == watch.EXIT_UNWELL
    assert "ZeroDivisionError" in ended.stderr + ended.stdout
