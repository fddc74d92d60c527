from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from flask import Flask

from tests.support.gateway import Caller, app_on, caller_on
from tests.support.redis_server import RedisServer


@pytest.fixture
def app(redis_client: redis.Redis, redis_server: RedisServer) -> Iterator[Flask]:
    """A gateway on an empty Redis."""
    with app_on(redis_server.url) as made:
        yield made


@pytest.fixture
def caller(app: Flask) -> Caller:
    return caller_on(app)
