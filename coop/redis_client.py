"""Connections to Redis for job records, and with them a job's first message. For later messages `coop.queue` opens its
own, and Celery too (celeryconfig.py)."""

from __future__ import annotations

from typing import Any, TypeVar

import redis
from redis import asyncio as async_redis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.retry import Retry

from coop.embedded_redis import running_url
from coop.redis_address import async_client_of, client_of, client_of_kind
from coop.settings import Settings, SettingsError

# What a caller of the gateway may be kept waiting for, and what a worker on a home line bears with.
FAST_TIMEOUT_SECONDS = 1.5
WORKER_TIMEOUT_SECONDS = 10.0

R = TypeVar("R", bound=redis.Redis)


def redis_url(settings: Settings) -> str:
    """Where Redis is: COOP_REDIS_URL, else the embedded server that runs on COOP_DATA_DIR. Raises SettingsError."""
    url = settings.redis_url.get_secret_value() if settings.redis_url else running_url(settings.data_dir)
    if url is None:
        raise SettingsError(f"COOP_REDIS_URL is not set and no `coop up` runs on COOP_DATA_DIR={settings.data_dir}")
    return url


def connect_fast(settings: Settings) -> redis.Redis:
    """A client that fails fast: a caller waits, and has its answer within two seconds."""
    return connect_fast_as(redis.Redis, settings)


def connect_fast_as(kind: type[R], settings: Settings) -> R:
    """As `connect_fast`, with a subclass of `redis.Redis`."""
    # A connection that Redis closed (it was restarted) fails once and is worth a second try; one that is silent is not.
    retry = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    return client_of_kind(kind, redis_url(settings), retry=retry, **_options(FAST_TIMEOUT_SECONDS))


def connect_fast_async(settings: Settings) -> async_redis.Redis:
    """As `connect_fast`, for an event loop; whoever uses its connections tries again by himself."""
    return async_client_of(redis_url(settings), retry=AsyncRetry(NoBackoff(), 0), **_options(FAST_TIMEOUT_SECONDS))


def connect(settings: Settings) -> redis.Redis:
    """A client with a pool of its own; answers are bytes. Commands are retried, so they must bear being run twice."""
    retry = Retry(ExponentialBackoff(cap=1, base=0.05), 2)
    return client_of(redis_url(settings), retry=retry, **_options(WORKER_TIMEOUT_SECONDS))


def _options(timeout_seconds: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": min(timeout_seconds, 5),
        "socket_keepalive": True,
        "health_check_interval": 30,
    }


_PASSING_CLASSES = (
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.MasterDownError,
)
# Those that redis-py has no class for: the disk is full, replicas are away, a script runs for too long.
_PASSING_CODES = ("MISCONF", "NOREPLICAS", "BUSY")


def is_passing(error: redis.RedisError) -> bool:
    """Whether Redis may take the same command later; other answers (no such right, wrong type) it would repeat."""
    if not isinstance(error, redis.ResponseError) or isinstance(error, _PASSING_CLASSES):
        return True
    return str(error).startswith(_PASSING_CODES)
