from __future__ import annotations

import pytest
import redis

from coop.clients import CLIENTS_KEY, KEYS_KEY, ClientError, ClientRegistry, parse_rate


@pytest.fixture
def clients(redis_client: redis.Redis) -> ClientRegistry:
    return ClientRegistry(redis_client)


def test_a_key_leads_to_its_client(clients: ClientRegistry) -> None:
    credentials = clients.add("web-1", ["192.0.2.0/24"], ["Example.org."], rate=60)

    found = clients.by_key(credentials.api_key)
    assert found == clients.get("web-1")
    assert found is not None
    assert (found.callback_hosts, found.rate, found.signing_secrets) == (
        ("example.org",),
        60,
        (credentials.signing_secret,),
    )


def test_an_unknown_key_leads_to_nobody(clients: ClientRegistry) -> None:
    clients.add("web-1")

    assert clients.by_key("coop_guess") is None


def test_a_key_is_nowhere_in_redis(clients: ClientRegistry, redis_client: redis.Redis) -> None:
    credentials = clients.add("web-1")

    stored = repr([redis_client.hgetall(CLIENTS_KEY), redis_client.hgetall(KEYS_KEY)])
    assert credentials.api_key not in stored


def test_credentials_do_not_show_in_logs(clients: ClientRegistry) -> None:
    credentials = clients.add("web-1")

    shown = repr([credentials, clients.get("web-1")])
    assert credentials.api_key not in shown
    assert credentials.signing_secret not in shown


def test_a_name_is_given_once(clients: ClientRegistry) -> None:
    clients.add("web-1")

    with pytest.raises(ClientError, match="already"):
        clients.add("web-1")


@pytest.mark.parametrize("name", ["", "a:b", "-a", "a b", "ä", "a" * 65, "a\n"])
def test_a_name_that_would_be_ambiguous_is_refused(clients: ClientRegistry, name: str) -> None:
    with pytest.raises(ClientError, match="a name is"):
        clients.add(name)


@pytest.mark.parametrize("host", ["", "https://example.org", "example.org:443", "exa mple.org", "*"])
def test_a_callback_host_is_a_bare_host(clients: ClientRegistry, host: str) -> None:
    with pytest.raises(ClientError, match="host"):
        clients.add("web-1", callback_hosts=[host])


def test_a_network_that_is_none_is_refused(clients: ClientRegistry) -> None:
    with pytest.raises(ClientError, match="network"):
        clients.add("web-1", networks=["192.0.2.1/24"])


def test_both_keys_and_secrets_hold_during_a_rotation(clients: ClientRegistry) -> None:
    old, new = clients.add("web-1"), clients.rotate("web-1")

    found = clients.by_key(old.api_key)
    assert found == clients.by_key(new.api_key)
    assert found is not None
    assert found.signing_secrets == (new.signing_secret, old.signing_secret)


def test_after_the_overlap_only_the_new_ones_hold(clients: ClientRegistry) -> None:
    old, new = clients.add("web-1"), clients.rotate("web-1", overlap_seconds=0)

    assert clients.by_key(old.api_key) is None
    found = clients.by_key(new.api_key)
    assert found is not None
    assert found.signing_secrets == (new.signing_secret,)


def test_a_second_rotation_does_not_prolong_the_first_key(clients: ClientRegistry) -> None:
    old = clients.add("web-1")
    clients.rotate("web-1", overlap_seconds=0)
    clients.rotate("web-1")

    assert clients.by_key(old.api_key) is None


def test_rotation_keeps_the_bounds(clients: ClientRegistry) -> None:
    clients.add("web-1", ["192.0.2.0/24"], ["example.org"], 5)
    before = clients.get("web-1")
    clients.rotate("web-1")

    after = clients.get("web-1")
    assert before is not None
    assert after is not None
    assert (after.networks, after.callback_hosts, after.rate) == (before.networks, before.callback_hosts, before.rate)


def test_a_removed_client_is_out_with_all_its_keys(clients: ClientRegistry, redis_client: redis.Redis) -> None:
    old, new = clients.add("web-1"), clients.rotate("web-1")
    clients.remove("web-1")

    assert [clients.by_key(old.api_key), clients.by_key(new.api_key), clients.get("web-1")] == [None, None, None]
    assert redis_client.hlen(KEYS_KEY) == 0


def test_what_does_not_exist_can_neither_be_removed_nor_rotated(clients: ClientRegistry) -> None:
    for act in (clients.remove, clients.rotate):
        with pytest.raises(ClientError, match="no client"):
            act("web-1")


def test_clients_are_listed_by_name(clients: ClientRegistry) -> None:
    clients.add("b")
    clients.add("a")

    assert [client.name for client in clients.list()] == ["a", "b"]


def test_a_network_binds_the_address_also_in_its_ipv6_form(clients: ClientRegistry) -> None:
    clients.add("web-1", networks=["192.0.2.0/24", "2001:db8::/32"])
    client = clients.get("web-1")

    assert client is not None
    wanted = {"192.0.2.9": True, "::ffff:192.0.2.9": True, "2001:db8::1": True, "192.0.3.1": False, "nonsense": False}
    assert {address: client.may_call_from(address) for address in wanted} == wanted


def test_a_callback_host_is_compared_as_names_are(clients: ClientRegistry) -> None:
    clients.add("web-1", callback_hosts=["example.org", "2001:db8::1"])
    client = clients.get("web-1")

    assert client is not None
    wanted = {"EXAMPLE.org.": True, "[2001:db8::1]": True, "evil-example.org": False, "a.example.org": False}
    assert {host: client.may_be_called_at(host) for host in wanted} == wanted


def test_a_rate_is_read_as_it_is_written() -> None:
    assert parse_rate("60/minute") == 60


@pytest.mark.parametrize("text", ["60", "0/minute", "-1/minute", "60/hour", "60/minute "])
def test_another_spelling_of_a_rate_is_refused(text: str) -> None:
    with pytest.raises(ClientError, match="a rate is"):
        parse_rate(text)
