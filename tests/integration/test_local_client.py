"""The client that `coop up` registers, with the real registry."""

import stat
import sys
from pathlib import Path

import pytest
import redis

from coop.clients import ClientRegistry
from coop.local_client import ensure_client, find_client
from coop.settings import Settings, SettingsError, read_settings

URL = "http://127.0.0.1:8080"


@pytest.fixture
def registry(redis_client: redis.Redis) -> ClientRegistry:
    return ClientRegistry(redis_client)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"COOP_DATA_DIR": str(tmp_path)}, None)


def test_the_first_start_registers_a_client_that_submit_finds(registry: ClientRegistry, settings: Settings) -> None:
    made = ensure_client(settings, registry, URL)

    assert find_client(settings) == made
    owner = registry.by_key(made.api_key)
    assert owner
    assert (owner.name, owner.signing_secrets) == ("local", (made.signing_secret,))


def test_a_later_start_keeps_the_client_and_tells_the_new_address(registry: ClientRegistry, settings: Settings) -> None:
    first = ensure_client(settings, registry, URL)

    second = ensure_client(settings, registry, "http://127.0.0.1:9090")

    assert (second.api_key, second.signing_secret) == (first.api_key, first.signing_secret)
    assert find_client(settings).gateway_url == "http://127.0.0.1:9090"


def test_a_lost_file_is_made_anew(registry: ClientRegistry, settings: Settings, tmp_path: Path) -> None:
    first = ensure_client(settings, registry, URL)
    (tmp_path / "local-client.json").unlink()

    second = ensure_client(settings, registry, URL)

    assert second.api_key != first.api_key
    assert registry.by_key(second.api_key)


def test_a_client_that_this_redis_does_not_know_is_registered_anew(
    registry: ClientRegistry, settings: Settings, redis_client: redis.Redis
) -> None:
    first = ensure_client(settings, registry, URL)
    redis_client.flushall()

    second = ensure_client(settings, registry, URL)

    assert second.api_key != first.api_key
    assert registry.by_key(second.api_key)


def test_machines_that_share_a_redis_have_a_client_each(registry: ClientRegistry, tmp_path: Path) -> None:
    shared = {"COOP_REDIS_URL": "redis://127.0.0.1/0"}
    machines = ["home 1", "home-2"]
    for machine in machines:
        environ = {**shared, "COOP_MACHINE": machine, "COOP_DATA_DIR": str(tmp_path / machine)}
        ensure_client(read_settings(environ, None), registry, URL)

    assert [client.name for client in registry.list()] == ["local-home-1", "local-home-2"]


@pytest.mark.skipif(sys.platform == "win32", reason="the folder's own rights hold there")
def test_nobody_else_can_read_the_credentials(registry: ClientRegistry, settings: Settings, tmp_path: Path) -> None:
    ensure_client(settings, registry, URL)

    assert stat.S_IMODE((tmp_path / "local-client.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("text", [None, "", "[]", "{}"])
def test_without_credentials_one_is_told_where_they_come_from(settings: Settings, tmp_path: Path, text: str) -> None:
    if text is not None:
        (tmp_path / "local-client.json").write_text(text)

    with pytest.raises(SettingsError, match="start `coop up`"):
        find_client(settings)


def test_given_credentials_go_before_the_local_ones(registry: ClientRegistry, tmp_path: Path) -> None:
    given = {"COOP_API_KEY": "k", "COOP_SIGNING_SECRET": "s", "COOP_PUBLIC_URL": "https://coop.example.org/"}
    settings = read_settings({"COOP_DATA_DIR": str(tmp_path), **given}, None)
    ensure_client(settings, registry, URL)

    client = find_client(settings)

    assert (client.api_key, client.signing_secret) == ("k", "s")
    assert client.gateway_url == "https://coop.example.org"
