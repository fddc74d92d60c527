"""The Celery app, and the messages from whoever accepts or rescues a job to the workers: by task name.

A message carries the job's id and run, nothing else; its Celery id is `{job id}:{run}:{stage}`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection
from typing import cast

import redis
from celery import Celery
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from coop.chain_messages import message_of
from coop.job_store import JobStore, NewJob, Posting
from coop.jobs import Job, Priority, Stage, job_id_of
from coop.logs import get_logger
from coop.redis_address import client_of
from coop.redis_client import WORKER_TIMEOUT_SECONDS, redis_url
from coop.settings import read_settings

log = get_logger(__name__)

# Kombu's name for the list of a queue's messages of a priority other than the highest.
_PRIORITY_SEPARATOR = "\x06\x16"

app = Celery("coop")
app.config_from_object("celeryconfig")


class _Publisher:
    """This process' connections for messages: plain pushes, for which Celery's own way takes ten times as long."""

    def __init__(self) -> None:
        self._url: str | None = None
        self._timeout_seconds = WORKER_TIMEOUT_SECONDS
        self._client: redis.Redis | None = None
        self._lock = threading.Lock()

    def use(self, url: str, timeout_seconds: float) -> None:
        self.close()
        self._url, self._timeout_seconds = url, timeout_seconds

    @property
    def client(self) -> redis.Redis:
        with self._lock:
            if self._client is None:
                self._client = client_of(
                    self._url or redis_url(read_settings()),
                    socket_timeout=self._timeout_seconds,
                    socket_connect_timeout=min(self._timeout_seconds, 5),
                    socket_keepalive=True,
                    # After Redis was restarted, every connection of the pool fails once.
                    retry=Retry(NoBackoff(), 1),
                )
            return self._client

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client:
            client.close()


_publisher = _Publisher()


def use_as_publisher(url: str, timeout_seconds: float) -> None:
    """Make this process publish to that Redis, and fail fast when it does not answer: a caller waits."""
    _publisher.use(url, timeout_seconds)


def close() -> None:
    """Close this process' connections to the broker; the next message opens new ones."""
    _publisher.close()


def first_message(new: NewJob) -> Posting:
    """The message of a new job's first stage, for `JobStore.accept` to send."""
    job_id = job_id_of(new.client, new.request_id)
    return Posting(list_of(Stage.METADATA, new.priority), message_of(job_id, 1, Stage.METADATA, new.priority))


def enqueue(job: Job) -> None:
    """Send the messages of the rest of the job's chain, from its present stage on.

    Raises kombu.exceptions.OperationalError when Redis does not take them; the reaper sends them then.
    """
    if job.stage is None:
        return
    try:
        message = message_of(job.id, job.run, job.stage, job.priority)
        _publisher.client.lpush(list_of(job.stage, job.priority), message)
    except redis.RedisError as error:
        raise OperationalError(str(error)) from error


def enqueue_or_leave(store: JobStore, job_id: str, fresh: Job | None = None) -> None:
    """Send a job's messages as its record stands now. What cannot be sent is left to the reaper, which finds it.

    `fresh`: the job, by whoever has just read its record, and so need not ask for it.
    """
    try:
        job = fresh or store.get(job_id)
        if job:
            enqueue(job)
    except (redis.RedisError, OperationalError) as error:
        log.warning("messages are left to the reaper", job=job_id, error=str(error))


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
