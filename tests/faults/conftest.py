"""Each test breaks something for real: a Redis of its own, real worker processes on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet import Fleet, fleet_on
from tests.support.redis_server import RedisServer

LEASE_SECONDS = 3
"""Short, so that the tests need not wait long for a lease to end."""


@pytest.fixture
def fleet(own_redis: RedisServer, tmp_path: Path) -> Iterator[Fleet]:
    """No worker yet: `fleet.start(…)`."""
    with fleet_on(own_redis.url, tmp_path) as fleet:
        yield fleet
