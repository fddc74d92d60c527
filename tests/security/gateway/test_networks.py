"""Where a client may call from, behind proxies and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from flask import Flask

from coop.clients import ClientError, ClientRegistry
from coop.settings import SettingsError
from tests.support.gateway import Caller, app_on, caller_on, problem, served_on, services_of
from tests.support.jobs import settings_of
from tests.support.raw_http import answer_to, head
from tests.support.redis_server import RedisServer

PROXY = "10.0.0.1"
HOME = "198.51.100.9"


@pytest.fixture
def behind_proxy(redis_client: redis.Redis, redis_server: RedisServer) -> Iterator[Flask]:
    with app_on(redis_server.url, trusted_proxies="10.0.0.0/8,2001:db8:1::/48") as made:
        yield made


@pytest.mark.parametrize(
    ("network", "address", "may"),
    [
        ("198.51.100.0/24", "198.51.100.9", True),
        ("198.51.100.0/24", "198.51.101.9", False),
        ("198.51.100.0/24", "::ffff:198.51.100.9", True),
        ("198.51.100.9", "198.51.100.9", True),
        ("2001:db8:2::/48", "2001:db8:2::9", True),
        ("2001:db8:2::/48", "2001:DB8:2:0:0::9", True),
        ("2001:db8:2::/48", "2001:db8:3::9", False),
        ("2001:db8:2::/48", "198.51.100.9", False),
        ("0.0.0.0/0", "2001:db8:2::9", False),
        ("198.51.100.0/24", "", False),
        ("198.51.100.0/24", "unix", False),
    ],
)
def test_a_bound_client_calls_from_its_networks_only(app: Flask, network: str, address: str, may: bool) -> None:
    bound = caller_on(app, "bound", networks=[network])
    bound.address = address

    assert bound.get("/api/jobs").status_code == (200 if may else 403)


def test_a_client_may_have_several_networks(app: Flask) -> None:
    bound = caller_on(app, "bound", networks=["198.51.100.0/24", "2001:db8:2::/48"])

    for bound.address in ("198.51.100.9", "2001:db8:2::9"):
        assert bound.get("/api/jobs").status_code == 200


@pytest.mark.parametrize("network", ["198.51.100.9/24", "everywhere", "2001:db8::/129", "300.1.1.1", ""])
def test_a_network_out_of_form_is_refused_when_it_is_registered(app: Flask, network: str) -> None:
    with pytest.raises(ClientError):
        services_of(app).clients.add("bound", networks=[network])


@pytest.mark.parametrize(
    "forged",
    [
        {"X-Forwarded-For": HOME},
        {"X-Forwarded-For": f"{HOME}, {HOME}"},
        {"Forwarded": f"for={HOME}"},
        {"X-Real-IP": HOME},
        {"X-Client-IP": HOME},
        {"CF-Connecting-IP": HOME},
        {"True-Client-IP": HOME},
        {"X-Forwarded-Host": HOME},
    ],
    ids=str,
)
def test_a_forged_header_changes_nothing(app: Flask, forged: dict[str, str]) -> None:
    bound = caller_on(app, "bound", networks=[f"{HOME}/32"])

    problem(bound.send("GET", "/api/jobs", headers=forged), 403, "ip_not_allowed")


@pytest.mark.parametrize("forwarded_for", [HOME, f"1.2.3.4, {HOME}", f"1.2.3.4, {HOME}, 10.9.9.9"])
def test_a_trusted_proxy_is_believed_for_what_it_added(behind_proxy: Flask, forwarded_for: str) -> None:
    bound = caller_on(behind_proxy, "bound", networks=[f"{HOME}/32"])
    bound.address = PROXY

    assert bound.send("GET", "/api/jobs", headers={"X-Forwarded-For": forwarded_for}).status_code == 200


@pytest.mark.parametrize(
    ("peer", "forwarded_for"),
    [(PROXY, f"{HOME}, 1.2.3.4"), (PROXY, ""), (PROXY, f"{HOME}, rubbish"), ("203.0.113.7", HOME), ("11.0.0.1", HOME)],
)
def test_what_a_caller_wrote_before_the_proxy_counts_for_nothing(
    behind_proxy: Flask, peer: str, forwarded_for: str
) -> None:
    bound = caller_on(behind_proxy, "bound", networks=[f"{HOME}/32"])
    bound.address = peer

    problem(bound.send("GET", "/api/jobs", headers={"X-Forwarded-For": forwarded_for}), 403, "ip_not_allowed")


@pytest.mark.parametrize("proxies", ["0.0.0.0/0", "::/0", "10.0.0.1/8", "proxy.example.org"])
def test_everybody_is_no_proxy(proxies: str) -> None:
    with pytest.raises(SettingsError, match="COOP_TRUSTED_PROXIES"):
        settings_of("redis://unused", trusted_proxies=proxies)


def test_a_served_gateway_sees_the_address_of_the_socket(redis_server: RedisServer, tmp_path: Path) -> None:
    with served_on(redis_server.url, tmp_path) as gateway:
        gateway.client.jobs()

        assert '"address": "127.0.0.1"' in gateway.log.read_text()


def test_a_caller_behind_a_proxy_is_counted_by_its_own_address(behind_proxy: Flask) -> None:
    stranger = Caller(behind_proxy, caller_on(behind_proxy).credentials, PROXY)
    wrong = {"Authorization": "Bearer wrong"}
    for _ in range(21):
        refused = stranger.send("GET", "/api/jobs", headers={**wrong, "X-Forwarded-For": HOME})
    problem(refused, 429, "rate_limited")

    other = stranger.send("GET", "/api/jobs", headers={**wrong, "X-Forwarded-For": "198.51.100.10"})
    problem(other, 401, "invalid_key")


def test_an_address_that_the_server_cannot_read_is_nobodys(redis_server: RedisServer, tmp_path: Path) -> None:
    """A proxy appends the caller's address to what the caller sent; granian hands over ASCII only, or nothing."""
    with served_on(redis_server.url, tmp_path, trusted_proxies="127.0.0.0/8") as gateway:
        with redis.Redis.from_url(redis_server.url) as client:
            bound = ClientRegistry(client).add("bound-to-the-proxy", networks=["127.0.0.0/8"])
        key = f"Authorization: Bearer {bound.api_key}"

        for sent in ("198.51.100.77", "\xff, 198.51.100.77"):
            request = head("GET", "/api/jobs", key, f"X-Forwarded-For: {sent}")
            status, answer = answer_to(gateway, request)
            assert (status, b"ip_not_allowed" in answer) == (403, True)
