"""Which addresses may be reached."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coop import egress
from coop.errors import JobError
from coop.settings import Settings

PRODUCTION = Settings()
LOOPBACK = Settings(allow_networks="127.0.0.0/8,::1/128")  # type: ignore[arg-type]  # as the environment gives it


def is_refused(url: str, settings: Settings = PRODUCTION) -> bool:
    try:
        egress.check_url(url, settings)
    except JobError as error:
        return error.code == "url_not_allowed"
    return False


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/shorts/dJd3wLG65yc",
        "http://example.org/",
        "https://example.org:8443/video?id=1#t=2",
        "https://8.8.8.8/v",
        "https://[2606:4700::1111]/v",
        "https://bücher.example/v",
        "https://example.org./v",
    ],
)
def test_public_addresses_are_taken(url: str) -> None:
    assert not is_refused(url)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/v",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//example.org/v",
        "example.org/v",
        "",
        "http://",
        "http:///v",
        "http://user@example.org/v",
        "http://user:secret@example.org/v",
        "http://example.org:80@10.0.0.1/v",
        "http://example.org\\@10.0.0.1/v",
        "http://example.org/a b",
        "http://example.org/\r\nHost: x",
        "http://exam\tple.org/",
        "http://example.org:99999/",
        "http://example.org:22/",
        "http://[::1/",
        "http://exa%6dple.org/",
        "http://-/" + "x" * 3000,
    ],
)
def test_malformed_and_foreign_addresses_are_refused(url: str) -> None:
    assert is_refused(url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1.",
        "１２７.0.0.1",
        "127。0。0。1",
        "10.0.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104  # a host to refuse, nothing to bind to
        "0",
        "192.0.0.8",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "1.2.3.4.5",
        "[::1]",
        "[::]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[2001:db8::1]",
    ],
)
def test_private_and_special_addresses_are_refused_in_any_notation(host: str) -> None:
    assert is_refused(f"http://{host}/")


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.", "a.localhost", "printer.local", "metadata.google.internal", "router"],
)
def test_names_of_private_networks_are_refused(host: str) -> None:
    assert is_refused(f"http://{host}/")


@pytest.mark.parametrize("url", ["http://127.0.0.1:5001/v", "http://localhost:5001/v", "http://[::1]:5001/v"])
def test_allowed_networks_are_open_at_any_port(url: str) -> None:
    assert not is_refused(url, LOOPBACK)
    assert is_refused("http://10.0.0.1/", LOOPBACK)


def test_a_nat64_address_is_judged_by_the_address_behind_it() -> None:
    assert not is_refused("http://[64:ff9b::8.8.8.8]/")


def test_a_public_address_is_closed_at_other_ports() -> None:
    assert is_refused("http://8.8.8.8:6379/")
    assert not is_refused("http://8.8.8.8:6379/", Settings(allow_ports=(6379,)))


def answer(*addresses: str) -> Any:
    """A resolver that gives these addresses for every name."""
    return lambda _host, port, **_how: [(0, 0, 0, "", (address, port)) for address in addresses]


def test_only_answers_that_are_allowed_are_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", answer("10.0.0.1", "8.8.8.8", "8.8.8.8", "::1"))

    assert egress.resolve_allowed("rebound.example", 443, PRODUCTION) == [ipaddress.ip_address("8.8.8.8")]


def test_a_name_that_leads_to_private_addresses_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", answer("10.0.0.1", "::1"))

    with pytest.raises(JobError, match="url_not_allowed"):
        egress.resolve_allowed("inside.example", 443, PRODUCTION)


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_all_notations(address: ipaddress.IPv4Address) -> None:
    expected = not egress.is_allowed(address, 80, PRODUCTION)
    octal = ".".join(f"0{part:o}" for part in address.packed)
    for host in (str(address), str(int(address)), hex(int(address)), octal, f"[::ffff:{address}]"):
        assert is_refused(f"http://{host}/") == expected


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6, network="2000::/3"))
def test_what_python_calls_private_is_never_allowed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    special = address.is_private or address.is_multicast or address.is_reserved or address.is_link_local

    assert not (special and egress.is_allowed(address, 443, PRODUCTION))
