"""A Celery app like `workers.app`, whose stages do nothing but what the video's URL tells them.

The stages are plain functions, so all around them (claims, leases, retries, messages, callbacks) is the real thing:

    https://stub/?download.seconds=5            the stage takes five seconds, and stops when it is cancelled
    https://stub/?download.deaf=5               the same, but it does not stop
    https://stub/?analyze.error=source_error    the stage fails, every time
    https://stub/?analyze.error=source_error&analyze.times=1    the first time only
    https://stub/?ideas.crash=1                 the stage kills its process (as often as `ideas.times` says)
    https://stub/?download.child=pid&download.params={"wait":60}    the stage asks that of a child process,
                                                which is tests.support.odd_child
    https://stub/?ideas.die=before-write        kills its process, once, at a hold point of the stage:
                                                before-write, before-message (the write is done), after-message

Variables: STUB_CLOCK (seconds this machine's clock is off), STUB_DELAYS (the time table of callbacks, in seconds),
STUB_LOOP=off (no event loop, as on Windows), STUB_REAL (stages that are not stood in for),
STUB_DEAF (a file: the process that finds it missing makes it, and takes no message).
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from celery.signals import task_success, worker_ready

from coop import backoff
from coop.backoff import RetryPolicy
from coop.errors import JobError
from coop.job_store import Claim, JobStore
from coop.jobs import Job, Stage
from coop.results import WireModel
from tests.support.jobs import OUTPUTS
from workers import pipeline
from workers.engines.child import Child
from workers.process import this_process
from workers.stages.work import Work

CHILD_MEMORY_BYTES = 200 * 2**20


def wishes_of(video_url: str, stage: Stage) -> dict[str, str]:
    pairs = parse_qs(urlsplit(video_url).query).items()
    return {name.removeprefix(f"{stage}."): values[-1] for name, values in pairs if name.startswith(f"{stage}.")}


def stub(stage: Stage) -> Callable[[Work], WireModel]:
    def run(work: Work) -> WireModel:
        wishes = wishes_of(work.job.video_url, stage)
        attempts = next(record.attempts for record in work.job.stages if record.name is stage)
        if attempts <= int(wishes.get("times", 1000)):
            misbehave(work, wishes)
        if stage is Stage.DOWNLOAD:
            work.artifacts.save("audio", b"audio" * int(wishes.get("size", 1)))
        return OUTPUTS[stage]

    return run


def misbehave(work: Work, wishes: dict[str, str]) -> None:
    if "seconds" in wishes:
        (work.workspace / "left-behind").write_text("x")
        work.deadline.cancelled.wait(float(wishes["seconds"]))
        work.deadline.check()
    if "deaf" in wishes:
        time.sleep(float(wishes["deaf"]))
    if "child" in wishes:
        ask_a_child(work, wishes["child"], json.loads(wishes["params"]))
    if "crash" in wishes:
        os._exit(1)
    if "error" in wishes:
        raise JobError(wishes["error"])
    if "bug" in wishes:
        raise ZeroDivisionError


def ask_a_child(work: Work, method: str, params: dict[str, Any]) -> None:
    child = Child("tests.support.odd_child", memory_bytes=CHILD_MEMORY_BYTES)
    try:
        child.request(method, params, work.deadline)
    finally:
        child.close()


def die_once(job: Job, stage: Stage, point: str) -> None:
    """If the job wishes so, end this process as a crash would, once, and leave a note of when."""
    store = this_process().store
    if wishes_of(job.video_url, stage).get("die") == point and store.redis.set(
        f"stub:died:{job.id}", store.now_ms(), nx=True
    ):
        os.kill(os.getpid(), signal.SIGKILL)


def with_hold_points(write: Callable[..., bool]) -> Callable[..., bool]:
    def written(store: JobStore, claim: Claim, *arguments: Any, **more: Any) -> bool:
        die_once(claim.job, claim.stage, "before-write")
        is_written = write(store, claim, *arguments, **more)
        die_once(claim.job, claim.stage, "before-message")
        return is_written

    return written


@task_success.connect(weak=False)
def after_message(sender: Any, **_: Any) -> None:
    # Celery sends the next message of a chain before it says that a task succeeded.
    job = this_process().store.get(sender.request.args[0])
    if job:
        die_once(job, sender.stage, "after-message")


@worker_ready.connect(weak=False)
def take_no_message(sender: Any, **_: Any) -> None:
    """Celery's consumer as it is after some lost connections: alive, connected, and deaf."""
    note = Path(os.environ.get("STUB_DEAF", os.devnull))
    if not note.exists():
        note.touch()
        sender.task_consumer.channel.qos.can_consume = lambda: False


for name in ("advance", "succeed", "record_delivery"):
    setattr(JobStore, name, with_hold_points(getattr(JobStore, name)))

REAL = os.environ.get("STUB_REAL", "").split(",")
pipeline.STAGES = tuple(
    replace(spec, run=spec.run if spec.name in REAL else stub(spec.name), retry=RetryPolicy(3, 0.2, 1), by_code={})
    for spec in pipeline.STAGES
)

if "STUB_CLOCK" in os.environ:
    true_time = time.time
    time.time = lambda: true_time() + float(os.environ["STUB_CLOCK"])
if "STUB_DELAYS" in os.environ:
    backoff.DELIVERY_DELAYS_SECONDS = tuple(map(float, os.environ["STUB_DELAYS"].split(",")))  # type: ignore[assignment]

from workers.app import app  # noqa: E402  # the tasks are made from the stages above

if os.environ.get("STUB_LOOP") == "off":
    app.IS_WINDOWS = True

__all__ = ["app"]
