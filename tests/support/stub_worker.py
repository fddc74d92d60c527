"""A Celery app like `workers.app`, whose stages do nothing but what the video's URL tells them.

The stages are plain functions, so all around them (claims, leases, retries, messages, callbacks) is the real thing:

    https://stub/?download.seconds=5            the stage takes five seconds, and stops when it is cancelled
    https://stub/?analyze.error=source_error    the stage fails, every time
    https://stub/?analyze.error=source_error&analyze.times=1    the first time only
    https://stub/?ideas.crash=1                 the stage kills its process (as often as `ideas.times` says)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

from coop.backoff import RetryPolicy
from coop.errors import JobError
from coop.jobs import Stage
from coop.results import WireModel
from tests.support.jobs import OUTPUTS
from workers import pipeline
from workers.stages.work import Work


def stub(stage: Stage) -> Callable[[Work], WireModel]:
    def run(work: Work) -> WireModel:
        wishes = {name: values[-1] for name, values in parse_qs(urlsplit(work.job.video_url).query).items()}
        attempts = next(record.attempts for record in work.job.stages if record.name is stage)
        if attempts <= int(wishes.get(f"{stage}.times", 1000)):
            misbehave(work, {name.removeprefix(f"{stage}."): value for name, value in wishes.items()})
        if stage is Stage.DOWNLOAD:
            work.artifacts.save("audio", b"audio")
        return OUTPUTS[stage]

    return run


def misbehave(work: Work, wishes: dict[str, str]) -> None:
    if "seconds" in wishes:
        (work.workspace / "left-behind").write_text("x")
        work.deadline.cancelled.wait(float(wishes["seconds"]))
        work.deadline.check()
    if "crash" in wishes:
        os._exit(1)
    if "error" in wishes:
        raise JobError(wishes["error"])
    if "bug" in wishes:
        raise ZeroDivisionError


pipeline.STAGES = tuple(
    replace(spec, run=stub(spec.name), retry=RetryPolicy(3, 0.2, 1), by_code={}) for spec in pipeline.STAGES
)

from workers.app import app  # noqa: E402  # the tasks are made from the stages above

__all__ = ["app"]
