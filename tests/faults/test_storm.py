"""Workers killed at random under load: every job ends once, and every callback arrives."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from dataclasses import dataclass

import pytest

from coop.jobs import DeliveryStatus, JobStatus
from tests.support.callback_receiver import Callback, CallbackReceiver
from tests.support.fleet import Fleet, eventually

# Stages that take a while, so that kills find some of them running.
VIDEO = "https://stub/?download.seconds=0.3&transcribe.seconds=0.6&analyze.seconds=0.2&ideas.seconds=0.2"


@dataclass(frozen=True)
class Storm:
    jobs: int
    kill_seconds: float
    patience_seconds: float


@pytest.mark.parametrize(
    "storm",
    [
        pytest.param(Storm(jobs=60, kill_seconds=10, patience_seconds=90), id="short"),
        pytest.param(Storm(500, 60, 600), id="long", marks=[pytest.mark.long, pytest.mark.timeout(900)]),
    ],
)
def test_in_a_storm_of_kills_every_job_has_one_outcome_and_every_callback_arrives(fleet: Fleet, storm: Storm) -> None:
    dice = random.Random(7)
    names = [f"r{number}" for number in range(storm.jobs)]
    for number in range(3):
        fleet.start(f"mill{number}", supervised=True, lease_seconds="4", ready=False)
    for worker in fleet.workers:
        worker.wait_until_ready()
    with CallbackReceiver(fleet.secret) as receiver:
        began = time.monotonic()
        for name in names:
            fleet.submit(name, VIDEO, receiver.url)
        kills = 0
        while time.monotonic() - began < storm.kill_seconds:
            time.sleep(2)
            dice.choice(fleet.workers).kill()
            kills += 1
        eventually(lambda: not unfinished(fleet, names), storm.patience_seconds, "the end of every job")
        took = time.monotonic() - began
        callbacks = receiver.arrived()

    report = report_of(fleet, names, callbacks)
    print(f"{storm.jobs} jobs, {kills} kills, {took:.0f} s: {report}")  # noqa: T201  # the figures of the storm
    assert report["lost"] == report["double outcomes"] == report["callbacks missing"] == 0
    assert report["statuses"] == {JobStatus.SUCCEEDED: storm.jobs}


def unfinished(fleet: Fleet, names: list[str]) -> list[str]:
    return [
        name
        for name in names
        if not (job := fleet.job(name)).status.is_final or job.delivery.status is DeliveryStatus.PENDING
    ]


def report_of(fleet: Fleet, names: list[str], callbacks: list[Callback]) -> dict[str, object]:
    """What the jobs' records and the receiver say of one another."""
    jobs = {name: fleet.job(name) for name in names}
    bodies: dict[str, set[bytes]] = {name: set() for name in names}
    for callback in callbacks:
        bodies[json.loads(callback.body)["requestId"]].add(callback.body)
    return {
        "statuses": dict(Counter(job.status for job in jobs.values())),
        "lost": sum(not job.status.is_final for job in jobs.values()),
        "double outcomes": sum(len(found) > 1 for found in bodies.values()),
        "callbacks missing": sum(fleet.store.outcome(jobs[name].id) not in found for name, found in bodies.items()),
        "duplicate callbacks": len(callbacks) - len({callback.headers["webhook-id"] for callback in callbacks}),
        "stages begun again": sum(max(0, record.attempts - 1) for job in jobs.values() for record in job.stages),
        "runs, at most": max(job.run for job in jobs.values()),
    }
