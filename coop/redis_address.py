"""Where Redis is, as one URL: a server, or a service that Sentinels know the present master of.

    redis://:password@host:6379/0        rediss:// for TLS
    sentinel://:password@host1:26379,host2:26379,host3:26379/0?service=mymaster

User, password and database are those of the servers; `&sentinel_password=` is that of the Sentinels, if they have one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import redis
from redis.sentinel import Sentinel

_SENTINEL_PORT = 26379


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
    address = sentinel_address(url)
    if address is None:
        return redis.Redis.from_url(url, **options)
    waits = {name: value for name, value in options.items() if name.startswith("socket_")}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]  # this part of redis-py has no types
        address.hosts, sentinel_kwargs={**waits, **address.sentinel_options}
    )
    login = {"username": address.username, "password": address.password, "db": address.database}
    master: redis.Redis = sentinel.master_for(address.service, redis.Redis, **login, **options)  # type: ignore[no-untyped-call]
    return master


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
