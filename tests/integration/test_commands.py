"""What an operator's commands do to jobs, as programs of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from flask import Flask

from coop.errors import JobError
from coop.job_store import JobStore
from coop.jobs import Priority, Stage
from coop.queue import list_of
from tests.support.gateway import Caller, app_on, caller_on
from tests.support.jobs import accepted, advance_to, claimed, store_of
from tests.support.redis_server import RedisServer


@pytest.fixture
def store(redis_client: redis.Redis) -> JobStore:
    return store_of(redis_client)


def _coop(server: RedisServer, folder: Path, *arguments: str) -> Any:
    environment = {**os.environ, "COOP_REDIS_URL": server.url, "COOP_DATA_DIR": str(folder)}
    told = subprocess.run(
        [sys.executable, "-m", "coop.cli", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def _messages(client: redis.Redis, stage: Stage) -> Any:
    return client.llen(list_of(stage, Priority.NORMAL))


def test_cancel_sends_the_callback_on_its_way(
    store: JobStore, redis_server: RedisServer, redis_client: redis.Redis, tmp_path: Path
) -> None:
    job = accepted(store).job

    document = _coop(redis_server, tmp_path, "cancel", "r1", "--client", job.client)

    assert (document["status"], document["delivery"]["status"]) == ("cancelled", "pending")
    assert _messages(redis_client, Stage.DELIVER) == 1


def test_retry_sends_the_job_on_its_way(
    store: JobStore, redis_server: RedisServer, redis_client: redis.Redis, tmp_path: Path
) -> None:
    job = accepted(store).job
    store.fail(claimed(store), JobError("source_error"), {})

    document = _coop(redis_server, tmp_path, "retry", "r1", "--client", job.client)

    assert document["status"] == "queued"
    assert _messages(redis_client, Stage.METADATA) == 1


@pytest.mark.parametrize("reached", [Stage.METADATA, Stage.TRANSCRIBE], ids=["queued", "running"])
def test_the_command_and_the_api_show_the_same_job(reached: Stage, redis_server: RedisServer, tmp_path: Path) -> None:
    with app_on(redis_server.url) as app:
        caller = _caller(app)
        caller.submit("r1")
        advance_to(app.extensions["coop"].store, reached)

        document = _coop(redis_server, tmp_path, "status", "r1", "--client", "shop")

        assert document.pop("client") == "shop"
        assert document == caller.get("/api/jobs/r1").get_json()


def _caller(app: Flask) -> Caller:
    app.extensions["coop"].redis.flushall()
    return caller_on(app)
