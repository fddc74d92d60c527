"""The Celery app, and the one bridge from whoever accepts or rescues a job to the workers: by task name.

A message carries the job's id and run, nothing else; its Celery id is `{job id}:{run}:{stage}`.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import cast

import redis
from celery import Celery, chain
from celery.canvas import Signature
from kombu import pools
from kombu.exceptions import OperationalError

from coop.job_store import JobStore
from coop.jobs import STAGES, Job, Priority, Stage
from coop.logs import get_logger

log = get_logger(__name__)

# Kombu's name for the list of a queue's messages of a priority other than the highest.
_PRIORITY_SEPARATOR = "\x06\x16"

app = Celery("coop")
app.config_from_object("celeryconfig")


def use_as_publisher(url: str, timeout_seconds: float) -> None:
    """Make this process publish to that Redis, and fail fast when it does not answer: a caller waits."""
    options = dict(app.conf.broker_transport_options)
    options.update(socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds, retry_on_timeout=False)
    options.update(max_retries=1, interval_start=0, interval_step=0)  # of the connection, before it is given up
    app.conf.update(broker_url=url, broker_read_url=None, broker_write_url=None, broker_transport_options=options)
    app.conf.broker_pool_acquire_timeout = timeout_seconds
    close()


def close() -> None:
    """Close this process' connections to the broker; the next message opens new ones."""
    pools.reset()  # type: ignore[no-untyped-call]  # kombu has no types
    app._pool = app.amqp._producer_pool = None  # what Celery's own clean-up after a fork does


def enqueue(job: Job) -> None:
    """Send the messages of the rest of the job's chain, from its present stage on.

    Raises kombu.exceptions.OperationalError when Redis does not take them; the reaper sends them then.
    """
    if job.stage is None:
        return
    steps = [message_of(job, stage) for stage in STAGES[STAGES.index(job.stage) :]]
    chain(*steps, app=app).apply_async(retry=False)


def enqueue_or_leave(store: JobStore, job_id: str) -> None:
    """Send a job's messages as its record stands now. What cannot be sent is left to the reaper, which finds it."""
    try:
        job = store.get(job_id)
        if job:
            enqueue(job)
    except (redis.RedisError, OperationalError) as error:
        log.warning("messages are left to the reaper", job=job_id, error=str(error))


def message_of(job: Job, stage: Stage) -> Signature:
    """The message that has a worker run one stage of the job's present run."""
    return app.signature(
        stage.task,
        args=(job.id, job.run),
        immutable=True,
        queue=stage.queue,
        priority=job.priority.message_priority,
        task_id=f"{job.id}:{job.run}:{stage}",
    )


def list_of(stage: Stage, priority: Priority) -> str:
    """The Redis list of a stage's messages of one priority."""
    number = priority.message_priority
    return f"{stage.queue}{_PRIORITY_SEPARATOR}{number}" if number else stage.queue


def oldest_message(client: redis.Redis, stage: Stage, priority: Priority) -> tuple[str, int] | None:
    """Job id and run of the message that has waited longest in that queue; None when it is empty.

    One that cannot be read belongs to no job: its id is empty. A worker of that stage drops it.
    """
    message = cast(bytes | None, client.lindex(list_of(stage, priority), -1))
    if message is None:
        return None
    try:
        job_id, run, _ = str(json.loads(message)["headers"]["id"]).rsplit(":", 2)
        return job_id, int(run)
    except (ValueError, TypeError, KeyError, RecursionError):
        return "", 0


def oldest_messages(client: redis.Redis, stages: Collection[Stage]) -> dict[str, bytes]:
    """The message that has waited longest, by list, of those stages' lists that are not empty; one round trip."""
    names = [list_of(stage, priority) for stage in stages for priority in Priority]
    with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.lindex(name, -1)
        return {name: message for name, message in zip(names, pipeline.execute(), strict=True) if message}
