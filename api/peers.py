"""Who is at the other end: the caller's address, through the proxies that the operator named and no others."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from coop.settings import Network

# With brackets, a port, and the name of a network interface.
_LONGEST = 80

UNREADABLE = "?"
"""What stands for an `X-Forwarded-For` of more than ASCII, which the server does not hand over."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def caller_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """The address that counts: `peer`, or what trusted proxies say of it in `X-Forwarded-For`.

    Each proxy appends whom it was called by, so the list is read from its end: the first address that is not a trusted
    proxy's is the caller's, whatever the caller wrote before it. An entry that is no address ends the reading at the
    proxy that let it through. Empty when nobody can tell.
    """
    address = _parse(peer)
    if address is None:
        return ""
    for entry in reversed(forwarded_for.split(",")):
        if not any(address in network for network in trusted):
            break
        if forwarded_for == UNREADABLE:
            return ""
        before = _parse(entry.strip())
        if before is None:
            break
        address = before
    return str(address)


def bucket_of(address: str) -> str:
    """What counts as one caller where strangers are counted: an IPv6 line has a whole /64 to itself."""
    found = _parse(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((found, 64), strict=False).network_address)
    return str(found) if found else "unknown"


def _parse(text: str) -> Address | None:
    """`192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` and `[2001:db8::1]:80`; mapped IPv4 as IPv4. None for all else."""
    return _parsed(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=1024)  # the same callers, request for request
def _parsed(text: str) -> Address | None:
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    else:
        host = text.partition(":")[0] if text.count(":") == 1 else text
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
