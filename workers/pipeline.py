"""The pipeline: of each stage its function and how often it is tried. Names and order are `coop.jobs.Stage`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from coop.backoff import RetryPolicy
from coop.errors import JobError
from coop.jobs import Stage
from coop.results import WireModel
from workers.stages import analyze, download, ideas, metadata, transcribe
from workers.stages.work import Work

# A site that takes a machine for a robot, or limits it, wants to be left alone for longer than a line that hiccups.
_PATIENT = {
    "bot_check": RetryPolicy(attempts=3, first_seconds=60, most_seconds=600),
    "source_rate_limited": RetryPolicy(attempts=4, first_seconds=60, most_seconds=1800),
}
# A stage that used up its whole deadline is not worth many of them.
_HASTY = {"timed_out": RetryPolicy(attempts=2, first_seconds=2, most_seconds=10)}


@dataclass(frozen=True)
class StageSpec:
    """How one stage is run. `retry` is for passing errors; `by_code` for those that want another measure."""

    name: Stage
    run: Callable[[Work], WireModel]
    retry: RetryPolicy
    by_code: dict[str, RetryPolicy] = field(default_factory=dict)

    def delay_seconds(self, error: JobError, failures: int) -> float | None:
        """When to try again after the `failures`th failure; None when the error is permanent or no attempt is left."""
        if not error.passing:
            return None
        return self.by_code.get(error.code, self.retry).delay_seconds(failures, error.retry_after)


_FETCH = RetryPolicy(attempts=4, first_seconds=2, most_seconds=60)
_THINK = RetryPolicy(attempts=4, first_seconds=2, most_seconds=60)

STAGES: tuple[StageSpec, ...] = (
    StageSpec(Stage.METADATA, metadata.run, _FETCH, {**_PATIENT, **_HASTY}),
    StageSpec(Stage.DOWNLOAD, download.run, _FETCH, {**_PATIENT, **_HASTY}),
    StageSpec(Stage.TRANSCRIBE, transcribe.run, _THINK, _HASTY),
    StageSpec(Stage.ANALYZE, analyze.run, _THINK, _HASTY),
    StageSpec(Stage.IDEAS, ideas.run, _THINK, _HASTY),
)
"""The stages that find something out; `deliver` follows, whose attempts the time table of the contract sets."""
