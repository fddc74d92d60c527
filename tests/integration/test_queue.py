"""What is really in Redis when a job's messages are sent."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from celery import Celery, chain
from celery.canvas import Signature
from kombu.exceptions import OperationalError

from coop import queue
from coop.job_store import JobStore
from coop.jobs import Job, Priority, Stage
from tests.support.jobs import CLIENT, accepted, advance_to, store_of
from tests.support.redis_server import RedisServer


@pytest.fixture
def store(redis_client: redis.Redis, redis_server: RedisServer) -> Iterator[JobStore]:
    queue.use_as_publisher(redis_server.url, 2)
    yield store_of(redis_client)
    queue.close()


def message(client: redis.Redis, name: str) -> dict[str, object]:
    raw = client.lindex(name, 0)
    assert isinstance(raw, bytes)
    return dict(json.loads(raw))


def test_a_message_carries_the_job_and_its_run_and_nothing_else(store: JobStore, redis_client: redis.Redis) -> None:
    queue.enqueue(accepted(store).job)

    sent = message(redis_client, "coop.metadata\x06\x165")
    arguments, keywords, embedded = json.loads(base64.b64decode(str(sent["body"])))
    assert arguments == [f"{CLIENT}:r1", 1]
    assert keywords == {}
    assert {tuple(step["args"]) for step in embedded["chain"]} == {(f"{CLIENT}:r1", 1)}


def test_the_chain_is_all_six_stages_each_for_its_queue(store: JobStore, redis_client: redis.Redis) -> None:
    queue.enqueue(accepted(store, priority=Priority.HIGH).job)

    sent = message(redis_client, "coop.metadata")
    chain = json.loads(base64.b64decode(str(sent["body"])))[2]["chain"]
    steps = [(step["task"], step["options"]["queue"], step["options"]["priority"]) for step in reversed(chain)]
    assert steps == [(stage.task, stage.queue, 0) for stage in list(Stage)[1:]]


def test_a_job_goes_on_with_the_stage_it_waits_at(store: JobStore, redis_client: redis.Redis) -> None:
    accepted(store)
    advance_to(store, Stage.ANALYZE)
    queue.enqueue_or_leave(store, f"{CLIENT}:r1")

    assert redis_client.llen("coop.analyze\x06\x165") == 1


def test_the_oldest_message_is_the_one_sent_first(store: JobStore, redis_client: redis.Redis) -> None:
    for name in ("r1", "r2"):
        queue.enqueue(accepted(store, name).job)

    assert queue.oldest_message(redis_client, Stage.METADATA, Priority.NORMAL) == (f"{CLIENT}:r1", 1)
    assert queue.oldest_message(redis_client, Stage.METADATA, Priority.LOW) is None


def test_a_redis_that_is_away_is_an_error_at_once(store: JobStore) -> None:
    job = accepted(store).job

    queue.use_as_publisher("redis://127.0.0.1:1/0", 2)

    with pytest.raises(OperationalError):
        queue.enqueue(job)


@pytest.mark.parametrize("stage", list(Stage))
def test_a_message_is_the_one_that_celery_itself_would_send(
    store: JobStore, redis_client: redis.Redis, redis_server: RedisServer, stage: Stage
) -> None:
    job = replace(accepted(store).job, stage=stage)
    rest = list(Stage)[list(Stage).index(stage) :]
    with Celery("coop", set_as_current=False, broker=redis_server.url) as app:
        app.config_from_object("celeryconfig")
        app.conf.broker_url = redis_server.url
        chain(*(signature_of(app, job, each) for each in rest), app=app).apply_async(retry=False)
    queue.enqueue(job)

    name = queue.list_of(stage, Priority.NORMAL)
    assert content_of(redis_client.lindex(name, 0)) == content_of(redis_client.lindex(name, 1))


def signature_of(app: Celery, job: Job, stage: Stage) -> Signature:
    named = {"queue": stage.queue, "priority": 5, "task_id": f"{job.id}:1:{stage}"}
    return app.signature(stage.task, args=(job.id, 1), immutable=True, **named)


def content_of(raw: object) -> dict[str, Any]:
    """A message without what differs from one to the next, and without where results go, for there are none."""
    assert isinstance(raw, bytes)
    sent = json.loads(raw)
    sent["body"] = json.loads(base64.b64decode(sent["body"]))
    for step in sent["body"][2]["chain"] or ():
        step["options"].pop("reply_to", None)
    for varying in ("reply_to", "delivery_tag"):
        sent["properties"].pop(varying, None)
    del sent["headers"]["origin"]
    return dict(sent)
