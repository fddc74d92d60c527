from __future__ import annotations

import ipaddress

import pytest

from api.peers import UNREADABLE, bucket_of, caller_address

PROXIES = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "2001:db8:1::/48")))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "found"),
    [
        ("203.0.113.7", "", "203.0.113.7"),
        ("203.0.113.7", "198.51.100.9", "203.0.113.7"),
        ("203.0.113.7", "10.0.0.1", "203.0.113.7"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.9, 10.0.0.2", "198.51.100.9"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "127.0.0.1, 198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "198.51.100.9:4711", "198.51.100.9"),
        ("10.0.0.1", "[2001:db8:2::9]:4711", "2001:db8:2::9"),
        ("10.0.0.1", "2001:db8:2::9", "2001:db8:2::9"),
        ("2001:db8:1::1", "198.51.100.9", "198.51.100.9"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "198.51.100.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.9,", "10.0.0.1"),
        ("10.0.0.1", "_hidden, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "127.0.0.1\n, ٣.٣.٣.٣", "10.0.0.1"),
        ("10.0.0.1", UNREADABLE, ""),
        ("203.0.113.7", UNREADABLE, "203.0.113.7"),
        ("", "198.51.100.9", ""),
        ("unix", "198.51.100.9", ""),
    ],
)
def test_the_first_address_from_the_end_that_is_no_proxy_counts(peer: str, forwarded_for: str, found: str) -> None:
    assert caller_address(peer, forwarded_for, PROXIES) == found


def test_without_trusted_proxies_nothing_is_believed() -> None:
    assert caller_address("10.0.0.1", "198.51.100.9", ()) == "10.0.0.1"


def test_a_line_of_ipv6_counts_as_one() -> None:
    assert bucket_of("2001:db8::1") == bucket_of("2001:db8::ffff:1") != bucket_of("2001:db8:0:1::1")
    assert bucket_of("203.0.113.7") != bucket_of("203.0.113.8")
    assert bucket_of("") == "unknown"
