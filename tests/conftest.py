"""Fixtures that every kind of test may use; the rest stands in tests/support, imported where it is needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import structlog

from tests.support.canaries import pytest_runtest_makereport, pytest_sessionfinish  # noqa: F401  # hooks
from tests.support.redis_server import RedisServer

# A test that reaches Celery without a broker of its own fails at once, instead of finding somebody's.
os.environ["COOP_REDIS_URL"] = "redis://127.0.0.1:1/0"

# What is logged before a test says otherwise: as in production without the local variables of a traceback.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One real server for the session; tests that stop or break it make their own."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """An empty database."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, to stop and break."""
    with RedisServer(tmp_path / "redis") as server:
        yield server
