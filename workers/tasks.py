"""One Celery task per stage, all of one class: claim, lease, run, record, retry.

No stage knows of this, and nothing here knows what a stage does. Whatever ends a task but a success ends its chain
too: what follows is in the record, and the reaper or a newer run has messages of its own. Celery's words for it are for
its watchers: `Retry` when the stage is tried again later, `StageFailed` when it failed, `Ignore` for a message that is
not acted on (a stale run, a stage that somebody runs already).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

import redis
import structlog
from celery import Task
from celery.exceptions import Ignore, Retry

from coop import backoff, metrics
from coop.errors import Cancelled, JobError
from coop.job_store import Claim, Refusal
from coop.jobs import DeliveryAttempt, DeliveryStatus, Stage
from coop.logs import get_logger
from coop.queue import app, enqueue_or_leave
from coop.redis_client import is_passing
from coop.results import Usage, WireModel
from workers import pipeline, repeats
from workers.engines.deadline import Deadline
from workers.leases import Lease
from workers.process import WorkerProcess, this_process
from workers.stages import deliver
from workers.stages.work import Work
from workers.workspaces import workspace

log = get_logger(__name__)

_WRITE_PAUSE_SECONDS = 0.5
# What a stage that Redis failed (full, or away) waits before it is tried again.
_REDIS_PAUSE_SECONDS = 5.0


class StageFailed(Exception):
    """For Celery's watchers: the stage failed, or its result was refused. The job's record has the whole of it."""


class StageTask(Task):  # type: ignore[misc]  # celery has no types
    """The policy around a stage. Subclasses say what is done with a claim in `work`."""

    abstract = True
    ignore_result = True
    throws = (StageFailed,)  # expected: one line in the log, and no traceback
    stage: Stage

    def run(self, job_id: str, run: int) -> None:
        process = this_process()
        with structlog.contextvars.bound_contextvars(job=job_id, run=run, stage=self.stage.value):
            claim = self._claim(process, job_id, run)
            if claim is None:
                return
            # The ids under which the gateway logged the request.
            origin = structlog.contextvars.bound_contextvars(client=claim.job.client, trace=claim.job.trace)
            with origin, process.leases.hold(claim) as lease:
                started = time.monotonic()
                try:
                    self.work(process, lease)
                except Cancelled as stopped:
                    _hand_back(process, lease, stopped)
                except redis.RedisError as error:
                    _wait_for_redis(process, lease, error)
                finally:
                    log.info("stage ended", seconds=round(time.monotonic() - started, 3))

    def work(self, process: WorkerProcess, lease: Lease) -> None:
        raise NotImplementedError

    def _claim(self, process: WorkerProcess, job_id: str, run: int) -> Claim | None:
        """The claim; None when the stage was done by this very run, so that the chain goes on."""
        try:
            claim = process.store.claim(job_id, run, self.stage, process.settings.machine)
        except redis.RedisError as error:
            # The message is gone, the job still waits: the reaper finds that and sends another.
            log.warning("a stage could not be claimed", error=str(error))
            raise Ignore from error
        if isinstance(claim, Refusal):
            log.info("message not acted on", reason=claim.reason)
            if claim.reason == "done":
                return None
            self.send_event("task-rejected")
            raise Ignore
        return claim


class FindingTask(StageTask):
    """A stage that finds something out: runs its function and records the output or the error."""

    abstract = True
    spec: pipeline.StageSpec

    def work(self, process: WorkerProcess, lease: Lease) -> None:
        started = time.monotonic()
        if lease.claim.age_seconds() > process.settings.job_max_age_seconds:
            self._settle(process, lease, JobError("timed_out", "The job waited for too long.", passing=False))
        if self.spec is pipeline.STAGES[0]:
            self._finish_if_known(process, lease)
        try:
            output = self._output(process, lease)
        except (Cancelled, redis.RedisError):
            raise
        except JobError as error:
            self._settle(process, lease, error)
        except Exception as error:  # the one catch-all: reported with its traceback, then tried again
            log.exception("a stage failed in a way that has no name")
            reason = f"{type(error).__name__} in the stage {self.stage}"
            self._settle(process, lease, JobError("internal", f"Something went wrong: {reason}."))
        else:
            self._record(process, lease, output, time.monotonic() - started)

    def _finish_if_known(self, process: WorkerProcess, lease: Lease) -> None:
        """A video that an earlier job was about goes to its delivery at once; the rest of its chain is let go."""
        store, claim = process.store, lease.claim
        found = repeats.recall(store, claim.job, process.settings)
        if found is None:
            return
        log.info("known from an earlier job")
        _write(process, lease, lambda: store.recall(claim, found, {}))
        enqueue_or_leave(store, claim.job.id)
        raise Ignore

    def _output(self, process: WorkerProcess, lease: Lease) -> WireModel:
        settings, claim = process.settings, lease.claim
        with workspace(settings.data_dir) as folder:
            return self.spec.run(
                Work(
                    job=claim.job,
                    found=claim.found,
                    settings=settings,
                    workspace=folder,
                    deadline=Deadline(settings.deadline_seconds(self.stage), lease.cancelled),
                    artifacts=process.artifacts_of(claim.job),
                )
            )

    def _record(self, process: WorkerProcess, lease: Lease, output: WireModel, seconds: float) -> None:
        increments = {
            **metrics.observe("coop_stage_duration_seconds", seconds, stage=self.stage),
            **_costs(getattr(output, "usage", ())),
        }
        is_last = self.spec is pipeline.STAGES[-1]
        write = process.store.succeed if is_last else process.store.advance
        _write(process, lease, lambda: write(lease.claim, output, increments))
        if is_last:
            found = lease.claim.found.model_copy(update={self.stage.value: output})
            repeats.remember(process.store, lease.claim.job, found, process.settings)

    def _settle(self, process: WorkerProcess, lease: Lease, error: JobError) -> NoReturn:
        """Record a failure: the stage is tried again later, or the job has failed and that is delivered."""
        claim = lease.claim
        failed = metrics.count("coop_stage_failures_total", stage=self.stage, code=error.code)
        increments = {**failed, **_costs(error.usage)}
        delay = self.spec.delay_seconds(error, claim.failures + 1)
        if delay is not None and claim.age_seconds() + delay < process.settings.job_max_age_seconds:
            log.warning("a stage failed and is tried again", error=str(error), delay_seconds=round(delay, 1))
            _write(process, lease, lambda: process.store.postpone(claim, error, delay, increments))
            raise Retry(str(error), when=delay) from error
        log.warning("the job failed", error=str(error))
        _write(process, lease, lambda: process.store.fail(claim, error, increments))
        enqueue_or_leave(process.store, claim.job.id)
        raise StageFailed(str(error)) from error


class DeliverTask(StageTask):
    """The stage deliver: one attempt, then delivered, given up, or waiting for the time table."""

    abstract = True
    stage = Stage.DELIVER

    def work(self, process: WorkerProcess, lease: Lease) -> None:
        claim = lease.claim
        # A process that was frozen for longer than its lease must not deliver what another one delivers now.
        if not process.leases.is_held(lease):
            raise Cancelled
        answer = self._attempt(process, lease)
        status, delay = _what_follows(answer, claim.delivery_tries + 1)
        attempt = DeliveryAttempt(
            at=claim.now_ms() - answer.milliseconds,
            status=answer.status,
            error=answer.error,
            milliseconds=answer.milliseconds,
        )
        log.info(
            "callback attempted",
            host=urlsplit(claim.job.delivery.url or "").hostname,
            message=claim.delivery_id,
            status=answer.status,
            error=answer.error,
            delivery=status.value,
            seconds=answer.milliseconds / 1000,
        )
        outcome = status.value if status is not DeliveryStatus.PENDING else "failed"
        increments = {
            **metrics.count("coop_callback_attempts_total", outcome=outcome),
            **metrics.observe("coop_stage_duration_seconds", answer.milliseconds / 1000, stage=self.stage),
        }
        store = process.store
        _write(process, lease, lambda: store.record_delivery(claim, attempt, status, delay, increments))
        if status is DeliveryStatus.PENDING:
            raise Retry(answer.error, when=delay)
        if status is DeliveryStatus.EXHAUSTED:
            raise StageFailed(answer.error)

    def _attempt(self, process: WorkerProcess, lease: Lease) -> deliver.Answer:
        claim = lease.claim
        client = process.clients.get(claim.job.client)
        if client is None or claim.outcome is None or claim.delivery_id is None or claim.job.delivery.url is None:
            return deliver.Answer(None, "the client was removed", 0, is_final=True)
        message = deliver.Message(
            url=claim.job.delivery.url,
            message_id=claim.delivery_id,
            body=claim.outcome,
            secrets=client.signing_secrets,
            sent_at=claim.now_ms() // 1000,
            trace=claim.job.trace,
        )
        deadline = Deadline(process.settings.deadline_seconds(self.stage), lease.cancelled)
        return deliver.run(message, process.settings, deadline)


def _what_follows(answer: deliver.Answer, tries: int) -> tuple[DeliveryStatus, float]:
    """How the delivery stands after its `tries`th attempt, and in how many seconds the next one is due if it is."""
    if answer.is_delivered:
        return DeliveryStatus.DELIVERED, 0
    delay = None if answer.is_unwanted else backoff.delivery_delay_seconds(tries, answer.retry_after)
    return (DeliveryStatus.EXHAUSTED, 0) if delay is None else (DeliveryStatus.PENDING, delay)


def _write(process: WorkerProcess, lease: Lease, write: Callable[[], bool]) -> None:
    """Write while the lease is ours, through a Redis that is away for a while. Raises StageFailed when it is lost."""
    pause = threading.Event()
    while not lease.is_lost:
        try:
            is_written = write()
        except redis.RedisError as error:
            if not is_passing(error):
                raise
            log.warning("the record could not be written", error=str(error))
            pause.wait(_WRITE_PAUSE_SECONDS)
            continue
        if is_written:
            return
        break
    log.info("result refused, a newer run has the job")
    raise StageFailed("The job was cancelled, or a newer run has it.")


def _hand_back(process: WorkerProcess, lease: Lease, stopped: Cancelled) -> NoReturn:
    """The work was stopped. A lease that is still ours (this worker shuts down) goes back to the fleet at once."""
    if not lease.is_lost:
        error = JobError("internal", "The worker was shut down.", usage=stopped.usage)
        _write(process, lease, lambda: process.store.hand_back(lease.claim, error, _costs(error.usage)))
        raise Retry(error.message, when=0)
    raise StageFailed("The job was cancelled, or a newer run has it.")


def _wait_for_redis(process: WorkerProcess, lease: Lease, error: redis.RedisError) -> NoReturn:
    """Redis failed in the middle of a stage. That is not the job's fault: it is tried again and nothing is counted."""
    log.warning("a stage stopped for want of Redis", error=str(error))
    reason = JobError("internal", "Redis could not be reached.")
    claim = lease.claim
    _write(process, lease, lambda: process.store.postpone(claim, reason, _REDIS_PAUSE_SECONDS, {}, failures=0))
    raise Retry(reason.message, when=_REDIS_PAUSE_SECONDS) from error


def _costs(usage: Iterable[Usage]) -> Mapping[str, float]:
    costs: dict[str, float] = {}
    for item in usage:
        if item.usd:
            for name, amount in metrics.count("coop_cost_usd_total", item.usd, model=item.model).items():
                costs[name] = costs.get(name, 0) + amount
    return costs


def _task_of(spec: pipeline.StageSpec) -> Any:
    attributes = {"name": spec.name.task, "stage": spec.name, "spec": spec, "__module__": __name__}
    return app.register_task(type(f"{spec.name.title()}Task", (FindingTask,), attributes)())


TASKS = [_task_of(spec) for spec in pipeline.STAGES]
TASKS.append(app.register_task(type("DeliveryTask", (DeliverTask,), {"name": Stage.DELIVER.task})()))
