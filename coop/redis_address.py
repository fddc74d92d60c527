"""Where Redis is, as one URL: a server, or a service that Sentinels know the present master of.

    redis://:password@host:6379/0        rediss:// for TLS
    sentinel://:password@host1:26379,host2:26379,host3:26379/0?service=mymaster

User, password and database are those of the servers; `&sentinel_password=` is that of the Sentinels, if they have one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis import asyncio as async_redis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

_SENTINEL_PORT = 26379
# Two that are gone with their machines, and the third still answers within what a caller of the gateway waits for.
_SENTINEL_SECONDS = 0.5

R = TypeVar("R", bound=redis.Redis)


@dataclass(frozen=True)
class SentinelAddress:
    """A `sentinel://` URL, taken apart; `login` is `user:password@` as it stood there, or empty."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    login: str
    database: int
    sentinel_password: str | None

    @property
    def username(self) -> str | None:
        return unquote(self.login.rstrip("@").partition(":")[0]) or None

    @property
    def password(self) -> str | None:
        return unquote(self.login.rstrip("@").partition(":")[2]) or None

    @property
    def sentinel_options(self) -> dict[str, Any]:
        return {"password": self.sentinel_password} if self.sentinel_password else {}


def sentinel_address(url: str) -> SentinelAddress | None:
    """None for a URL of another kind. Raises ValueError for one that lacks its service or hosts, or has a bad port."""
    parts = urlsplit(url)
    if parts.scheme != "sentinel":
        return None
    login, at, places = parts.netloc.rpartition("@")
    query = parse_qs(parts.query)
    if "service" not in query or not places:
        raise ValueError("a sentinel:// address names its hosts and, as ?service=…, its service")
    return SentinelAddress(
        hosts=tuple(_host_and_port(place) for place in places.split(",")),
        service=query["service"][0],
        login=login + at,
        database=int(parts.path.strip("/") or 0),
        sentinel_password=query.get("sentinel_password", [None])[0],
    )


def client_of(url: str, **options: Any) -> redis.Redis:
    """A client of the server at `url`, whichever it is at the time. `options` are those of `redis.Redis`."""
    return client_of_kind(redis.Redis, url, **options)


def client_of_kind(kind: type[R], url: str, **options: Any) -> R:
    """As `client_of`, with a subclass of `redis.Redis`."""
    address = sentinel_address(url)
    if address is None:
        found: R = kind.from_url(url, **options)  # type: ignore[assignment]  # annotated as one of redis.Redis
        return found
    retry = Retry(NoBackoff(), 0)
    sentinel = Sentinel(address.hosts, sentinel_kwargs=_sentinel_options(address, retry))  # type: ignore[no-untyped-call]  # this part of redis-py has no types
    master: R = sentinel.master_for(address.service, kind, **_login(address), **options)  # type: ignore[no-untyped-call]
    return master


def async_client_of(url: str, **options: Any) -> async_redis.Redis:
    """As `client_of`, for an event loop. `options` are those of `redis.asyncio.Redis`."""
    address = sentinel_address(url)
    if address is None:
        found: async_redis.Redis = async_redis.Redis.from_url(url, **options)
        return found
    retry = AsyncRetry(NoBackoff(), 0)
    sentinel = AsyncSentinel(address.hosts, sentinel_kwargs=_sentinel_options(address, retry))  # type: ignore[no-untyped-call]
    master: async_redis.Redis = sentinel.master_for(address.service, **_login(address), **options)
    return master


def _sentinel_options(address: SentinelAddress, retry: object) -> dict[str, Any]:
    """Each is asked once and not waited for: the next one knows the same."""
    waits = {"socket_timeout": _SENTINEL_SECONDS, "socket_connect_timeout": _SENTINEL_SECONDS, "retry": retry}
    return {**waits, **address.sentinel_options}


def _login(address: SentinelAddress) -> dict[str, Any]:
    return {"username": address.username, "password": address.password, "db": address.database}


def broker_of(url: str) -> tuple[str, dict[str, Any]]:
    """The same as Celery takes it: the broker's URL, and what goes into its transport options."""
    address = sentinel_address(url)
    if address is None:
        return url, {}
    places = (f"sentinel://{address.login}{host}:{port}/{address.database}" for host, port in address.hosts)
    options: dict[str, Any] = {"master_name": address.service}
    if address.sentinel_options:
        options["sentinel_kwargs"] = address.sentinel_options
    return ";".join(places), options


def _host_and_port(place: str) -> tuple[str, int]:
    parts = urlsplit(f"//{place}")
    if not parts.hostname:
        raise ValueError("a sentinel:// address names its hosts and, as ?service=…, its service")
    return parts.hostname, parts.port or _SENTINEL_PORT
