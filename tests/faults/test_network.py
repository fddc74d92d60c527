"""The line between a worker and Redis: cut, reset, or dead without a word; with an event loop and without."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from coop import queue
from coop.jobs import JobStatus, StageStatus
from tests.support.callback_receiver import CallbackReceiver
from tests.support.fleet import Fleet, fleet_on
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import TcpProxy

LOOPS = pytest.mark.parametrize("loop", ["on", "off"])
LEASE_SECONDS = "3"


@pytest.fixture
def line(own_redis: RedisServer) -> Iterator[TcpProxy]:
    with TcpProxy(own_redis.port) as line:
        yield line


def start(fleet: Fleet, line: TcpProxy, loop: str = "on", **options: str) -> None:
    fleet.start(redis_url=line.url, supervised=True, stub={"loop": loop}, **{"lease_seconds": LEASE_SECONDS, **options})


def begin(fleet: Fleet, request_id: str, stage: str, seconds: float, callback_url: str | None = None) -> None:
    """A job, and wait until its stage runs."""
    fleet.submit(request_id, f"https://stub/?{stage}.seconds={seconds}&{stage}.times=1", callback_url)
    fleet.when(lambda job: job.stage == stage and job.machine, request_id)
    fleet.when(lambda job: any(r.name == stage and r.status is StageStatus.RUNNING for r in job.stages), request_id)


def attempts(fleet: Fleet, request_id: str, stage: str) -> int:
    return next(record.attempts for record in fleet.job(request_id).stages if record.name == stage)


@LOOPS
def test_a_worker_outlives_a_short_cut_and_a_reset_and_takes_the_next_job(
    line: TcpProxy, fleet: Fleet, loop: str
) -> None:
    start(fleet, line, loop, lease_seconds="15")
    begin(fleet, "cut", "download", 7)
    line.cut()
    time.sleep(5)
    line.mend()
    assert fleet.ended("cut", 40).status is JobStatus.SUCCEEDED
    # The worker never stopped, and nobody else took the stage.
    assert attempts(fleet, "cut", "download") == 1

    begin(fleet, "reset", "download", 2)
    line.reset()
    assert fleet.ended("reset", 40).status is JobStatus.SUCCEEDED
    assert attempts(fleet, "reset", "download") == 1

    fleet.submit("next")
    assert fleet.ended("next", 40).status is JobStatus.SUCCEEDED


def test_a_cut_longer_than_the_lease_gives_the_job_to_another_and_refuses_the_late_write(
    line: TcpProxy, fleet: Fleet
) -> None:
    with CallbackReceiver(fleet.secret) as receiver:
        start(fleet, line)
        begin(fleet, "r1", "ideas", 12, receiver.url)
        line.cut()
        fleet.start("other", lease_seconds=LEASE_SECONDS)
        job = fleet.ended("r1", 40)
        line.mend()
        cut_off = fleet.workers[0].log
        fleet.when(lambda _: b"refused" in cut_off.read_bytes() or b"lease lost" in cut_off.read_bytes(), "r1", 40)
        fleet.submit("r2", callback_url=receiver.url)
        fleet.ended("r2", 40)
        callbacks = receiver.arrived()

    assert (job.status, job.machine) == (JobStatus.SUCCEEDED, "other")
    assert fleet.job("r1") == job
    assert sorted(callback.document["requestId"] for callback in callbacks) == ["r1", "r2"]


@pytest.mark.timeout(240)
def test_behind_a_half_open_line_the_next_job_starts_within_a_minute(tmp_path: Path) -> None:
    """Open lines die without a word, and new ones too for the first 20 s; four workers at once, as it takes long."""
    cases = {(loop, also_new): tmp_path / f"{loop}-{also_new}" for loop in ("on", "off") for also_new in (False, True)}
    with ExitStack() as stack:
        lines, fleets = {}, {}
        for case, folder in cases.items():
            server = stack.enter_context(RedisServer(folder / "redis"))
            lines[case] = stack.enter_context(TcpProxy(server.port))
            fleets[case] = stack.enter_context(fleet_on(server.url, folder))
            start(fleets[case], lines[case], case[0])
            submit_alone(fleets[case], "warm")
            fleets[case].ended("warm")
        for case, line in lines.items():
            line.swallow(also_new=case[1])
            submit_alone(fleets[case], "r1")
        time.sleep(20)
        for line in lines.values():
            line.mend()
        mended_at = fleets["on", True].store.now_ms()
        for case, fleet in fleets.items():
            job = fleet.ended("r1", 120)
            began = mended_at if case[1] else job.accepted_at
            seconds = ((job.started_at or 0) - began) / 1000
            print(f"event loop {case[0]}, new lines too {case[1]}: started after {seconds:.1f} s")  # noqa: T201  # a figure
            assert (job.status, seconds < 60) == (JobStatus.SUCCEEDED, True)


def submit_alone(fleet: Fleet, request_id: str) -> None:
    queue.use_as_publisher(fleet.redis_url, 5)
    fleet.submit(request_id)


def test_a_fleet_without_event_loops_recovers_a_killed_workers_job(fleet: Fleet) -> None:
    for name in ("one", "two"):
        fleet.start(name, stub={"loop": "off"}, lease_seconds=LEASE_SECONDS)
    fleet.submit("r1", "https://stub/?transcribe.seconds=60&transcribe.times=1")
    running = fleet.when(lambda job: job.stages[2].status is StageStatus.RUNNING, "r1")
    next(worker for worker in fleet.workers if worker.data_dir.name == running.machine).kill()

    job = fleet.ended("r1", 30)
    assert (job.status, job.run) == (JobStatus.SUCCEEDED, 2)
    assert job.machine != running.machine
