"""Addresses of Redis, with Sentinels and without."""

from __future__ import annotations

import pytest

from coop.redis_address import broker_of, client_of, sentinel_address

URL = "sentinel://user:p%40ss@one:26380,two/3?service=mymaster&sentinel_password=s"


def test_a_sentinel_address_names_hosts_service_login_and_database() -> None:
    address = sentinel_address(URL)

    assert address
    assert address.hosts == (("one", 26380), ("two", 26379))
    assert (address.service, address.username, address.password) == ("mymaster", "user", "p@ss")
    assert (address.database, address.sentinel_options) == (3, {"password": "s"})


def test_the_password_may_stand_alone() -> None:
    address = sentinel_address("sentinel://:secret@one/0?service=s")

    assert address
    assert (address.username, address.password) == (None, "secret")


@pytest.mark.parametrize("url", ["sentinel://one/0", "sentinel:///0?service=s", "sentinel://one:x/0?service=s"])
def test_an_incomplete_sentinel_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"sentinel://|Port"):
        sentinel_address(url)


def test_celery_is_told_every_sentinel_and_the_service() -> None:
    assert broker_of(URL) == (
        "sentinel://user:p%40ss@one:26380/3;sentinel://user:p%40ss@two:26379/3",
        {"master_name": "mymaster", "sentinel_kwargs": {"password": "s"}},
    )


def test_an_address_of_a_server_is_left_as_it_is() -> None:
    assert broker_of("rediss://:x@host:1/0") == ("rediss://:x@host:1/0", {})
    with client_of("redis://:x@host:1/2", socket_timeout=3) as client:
        assert client.connection_pool.connection_kwargs["db"] == 2
