"""Registered production servers: their keys, signing secrets and bounds, in Redis.

Two hashes: `coop:clients` (name -> record as JSON) and `coop:client-keys` (SHA-256 of a key -> name). Keys are kept as
hashes only; being 256 random bits they need no slow hash. Signing secrets are kept as they are, since HMAC needs them.
Every lookup asks Redis, so a removed client is out at once; what is remembered of one is compared before anything is
done by it.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, cast

import redis

from coop.settings import Network

CLIENTS_KEY = "coop:clients"
KEYS_KEY = "coop:client-keys"
OVERLAP_SECONDS = 24 * 3600
"""How long, after a rotation, the old key and secret hold beside the new ones unless told otherwise."""

REMEMBERED_SECONDS = 2.0
_MOST_REMEMBERED = 1024

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # no colon: `client:request_id` stays unambiguous
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?|[0-9a-f:]+")
_RATE = re.compile(r"([1-9][0-9]{0,5})/minute")

# The record and Redis' time in one round trip: whether a key still holds is decided by one clock for the whole fleet.
# The hashes stand in the scripts, not in KEYS: Redis asks for the right to write to those, which readers do not have.
_BY_KEY = f"""#!lua flags=no-writes
local name = redis.call('HGET', '{KEYS_KEY}', ARGV[1])
if not name then return false end
return {{redis.call('HGET', '{CLIENTS_KEY}', name), redis.call('TIME')[1]}}
"""
_GET = f"""#!lua flags=no-writes
return {{redis.call('HGET', '{CLIENTS_KEY}', ARGV[1]), redis.call('TIME')[1]}}
"""

T = TypeVar("T")


class ClientError(Exception):
    """A client cannot be registered or changed as asked; the message says why."""


@dataclass(frozen=True)
class Credentials:
    """What a production server needs to call; shown once."""

    server_id: str
    api_key: str = field(repr=False)
    signing_secret: str = field(repr=False)


@dataclass(frozen=True)
class Client:
    """A registered production server. Empty `networks` or `callback_hosts`: any. `rate`: requests per minute or None.

    `signing_secrets` are those that hold now, the newest first; `created_at` is Unix seconds; `record_sha1` is of all
    that Redis has of it, in hexadecimal digits.
    """

    name: str
    networks: tuple[Network, ...]
    callback_hosts: tuple[str, ...]
    rate: int | None
    signing_secrets: tuple[str, ...] = field(repr=False)
    created_at: int
    record_sha1: str = field(repr=False, compare=False)

    def may_call_from(self, address: str) -> bool:
        """Whether `address`, as the socket shows it, is in one of the client's networks."""
        if not self.networks:
            return True
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        plain = getattr(found, "ipv4_mapped", None) or found  # a dual-stack socket shows IPv4 callers as ::ffff:…
        return any(plain in network for network in self.networks)

    def may_be_called_at(self, host: str) -> bool:
        """Whether a callback may go to `host`."""
        return not self.callback_hosts or _plain_host(host) in self.callback_hosts


def parse_rate(text: str) -> int:
    """Requests per minute from `N/minute`. Raises ClientError."""
    match = _RATE.fullmatch(text)
    if not match:
        raise ClientError(f"a rate is N/minute, not {text!r}")
    return int(match.group(1))


class ClientRegistry:
    """The clients of one fleet. Every method is one atomic step in Redis; redis.RedisError passes through."""

    def __init__(self, redis_client: redis.Redis) -> None:
        self._redis = redis_client
        self._by_key = redis_client.register_script(_BY_KEY)
        self._get = redis_client.register_script(_GET)
        self._remembered: dict[str, _Remembered] = {}

    def add(
        self,
        name: str,
        networks: Iterable[str | Network] = (),
        callback_hosts: Iterable[str] = (),
        rate: int | None = None,
    ) -> Credentials:
        """Register a client and make its credentials. Raises ClientError: taken, or a bound that makes no sense."""
        if not _NAME.fullmatch(name):
            raise ClientError("a name is 1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit")
        bounds = {
            "networks": [str(_network(network)) for network in networks],
            "callback_hosts": [_checked_host(host) for host in callback_hosts],
            "rate": rate,
        }
        credentials = _new_credentials(name)

        def write(pipe: redis.client.Pipeline) -> Credentials:
            if pipe.hexists(CLIENTS_KEY, name):
                raise ClientError(f"there is a client {name} already; `rotate` gives it a new key")
            record = {**bounds, "created_at": self._now(), "keys": [], "secrets": []}
            _save(pipe, name, _with_credentials(record, credentials))
            return credentials

        return self._atomically(write)

    def rotate(self, name: str, overlap_seconds: int = OVERLAP_SECONDS) -> Credentials:
        """Give a client a new key and secret; the ones before hold for `overlap_seconds` more. Raises ClientError."""
        credentials = _new_credentials(name)

        def write(pipe: redis.client.Pipeline) -> Credentials:
            record, now = _existing(pipe, name), self._now()
            gone = [key["hash"] for key in record["keys"] if not _holds(key, now)]
            for kind in ("keys", "secrets"):
                kept = [entry for entry in record[kind] if _holds(entry, now)]
                record[kind] = [_until(entry, now + overlap_seconds) for entry in kept]
            _save(pipe, name, _with_credentials(record, credentials), gone)
            return credentials

        return self._atomically(write)

    def remove(self, name: str) -> None:
        """Forget a client; its keys are refused from now on, its jobs go on. Raises ClientError."""

        def write(pipe: redis.client.Pipeline) -> None:
            hashes = [key["hash"] for key in _existing(pipe, name)["keys"]]
            pipe.multi()
            pipe.hdel(KEYS_KEY, *hashes)
            pipe.hdel(CLIENTS_KEY, name)

        self._atomically(write)

    def by_key(self, api_key: str) -> Client | None:
        """Whose key it is, None for an unknown or expired one."""
        wanted, asked = _hash(api_key), time.monotonic()
        answer: Any = self._by_key(args=[wanted])
        if not (answer and answer[0]):
            self._remembered.pop(wanted, None)
            return None
        if wanted not in self._remembered and len(self._remembered) >= _MOST_REMEMBERED:
            self._remembered.clear()
        found = self._remembered[wanted] = _Remembered(answer[0], int(answer[1]), asked)
        return _live_client(found.record, wanted, found.told_at)

    def remembered(self, api_key: str) -> Client | None:
        """What `by_key` has answered in the last REMEMBERED_SECONDS, without asking again; None when it was not asked.

        It may have changed: only for who has `Client.record_sha1` compared by the very step that acts on it, as
        `JobStore.accept` does. What ends within a second is taken to have ended.
        """
        wanted = _hash(api_key)
        found = self._remembered.get(wanted)
        if found is None or (elapsed := time.monotonic() - found.asked_at) > REMEMBERED_SECONDS:
            return None
        # Rounded up: the fractions of both seconds may make another one.
        return _live_client(found.record, wanted, found.told_at + int(elapsed) + 1)

    def get(self, name: str) -> Client | None:
        """The client of that name, None when there is none."""
        record, now = self._get(args=[name])
        return _client(record, json.loads(record), int(now)) if record else None

    def list(self) -> list[Client]:
        """All clients, by name."""
        now = self._now()
        records: Any = self._redis.hvals(CLIENTS_KEY)
        found = (_client(record, json.loads(record), now) for record in records)
        return sorted(found, key=lambda client: client.name)

    def _now(self) -> int:
        answer: Any = self._redis.time()
        return int(answer[0])

    def _atomically(self, write: Callable[[redis.client.Pipeline], T]) -> T:
        """Run `write` until nobody else changed the clients meanwhile."""
        run: Any = self._redis.transaction  # its annotations know only callables that return None
        return cast(T, run(write, CLIENTS_KEY, value_from_callable=True))


class _Remembered(NamedTuple):
    """`told_at`: Redis' time, Unix seconds; `asked_at`: by time.monotonic(), before it was told."""

    record: bytes
    told_at: int
    asked_at: float


def _new_credentials(name: str) -> Credentials:
    return Credentials(
        server_id=name,
        api_key="coop_" + secrets.token_urlsafe(32),
        signing_secret="whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
    )


def _hash(api_key: str) -> str:
    return hashlib.sha256(api_key.encode("utf-8", "surrogateescape")).hexdigest()


def _with_credentials(record: dict[str, Any], credentials: Credentials) -> dict[str, Any]:
    """The newest key and secret stand first, without an end."""
    key = {"hash": _hash(credentials.api_key), "until": None}
    secret = {"secret": credentials.signing_secret, "until": None}
    return {
        **record,
        "name": credentials.server_id,
        "keys": [key, *record["keys"]],
        "secrets": [secret, *record["secrets"]],
    }


def _holds(entry: dict[str, Any], now: int) -> bool:
    return entry["until"] is None or now < entry["until"]


def _until(entry: dict[str, Any], end: int) -> dict[str, Any]:
    return {**entry, "until": end if entry["until"] is None else min(end, entry["until"])}


def _existing(pipe: redis.client.Pipeline, name: str) -> dict[str, Any]:
    found: Any = pipe.hget(CLIENTS_KEY, name)
    if found is None:
        raise ClientError(f"there is no client {name}")
    record: dict[str, Any] = json.loads(found)
    return record


def _save(pipe: redis.client.Pipeline, name: str, record: dict[str, Any], gone: Iterable[str] = ()) -> None:
    pipe.multi()
    pipe.hset(CLIENTS_KEY, name, json.dumps(record))
    pipe.hset(KEYS_KEY, mapping={key["hash"]: name for key in record["keys"]})
    for key_hash in gone:
        pipe.hdel(KEYS_KEY, key_hash)


# Of a record that Redis has just told: it saves reading the same text for each request of the same second.
@lru_cache(maxsize=16)
def _live_client(text: bytes, wanted: str, now: int) -> Client | None:
    """The client of a record, if the key of that hash holds at that time."""
    record = json.loads(text)
    # The hash was found by Redis' lookup already; the comparison is over hashes, whose timing tells nothing.
    live = any(secrets.compare_digest(key["hash"], wanted) and _holds(key, now) for key in record["keys"])
    return _client(text, record, now) if live else None


def _client(text: bytes, record: dict[str, Any], now: int) -> Client:
    """The client of a record, which `text` is the JSON of."""
    return Client(
        name=record["name"],
        networks=tuple(ipaddress.ip_network(network) for network in record["networks"]),
        callback_hosts=tuple(record["callback_hosts"]),
        rate=record["rate"],
        signing_secrets=tuple(entry["secret"] for entry in record["secrets"] if _holds(entry, now)),
        created_at=record["created_at"],
        record_sha1=hashlib.sha1(text, usedforsecurity=False).hexdigest(),  # Lua in Redis knows no other digest
    )


def _network(value: str | Network) -> Network:
    try:
        return ipaddress.ip_network(value)
    except ValueError as error:
        raise ClientError(f"{value} is no network (as in 192.0.2.0/24 or 2001:db8::/32)") from error


def _checked_host(host: str) -> str:
    plain = _plain_host(host)
    if not _HOST.fullmatch(plain):
        raise ClientError(f"{host!r} is no host name (as in example.org, without scheme and port)")
    return plain


def _plain_host(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()
