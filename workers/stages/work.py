"""What a stage is given. A stage is a function `run(work: Work) -> <its model of coop.results>`.

It raises `coop.errors.JobError` and nothing else that it can foresee, and it knows neither Celery nor Redis.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from coop.jobs import Job
from coop.results import Found
from coop.settings import Settings
from workers.engines.deadline import Deadline


class Artifacts(Protocol):
    """Bytes on their way from one stage of a job to a later one, perhaps on another machine; short-lived."""

    def save(self, name: str, content: bytes) -> None:
        """Keep `content` (at most 25 MB) for the job's later stages."""

    def load(self, name: str) -> bytes | None:
        """What an earlier stage saved under `name`; None when it was never saved or has expired."""


@dataclass(frozen=True)
class Work:
    """One run of one stage: the job, what earlier stages found, and where and how long to work.

    `workspace` is an empty folder of this run alone; whoever made it removes it with all that is left in it.
    """

    job: Job
    found: Found
    settings: Settings
    workspace: Path
    deadline: Deadline
    artifacts: Artifacts
