"""Which addresses may be reached: the one rule set for sources, redirects, embedded pages and callbacks.

The rule holds where a socket is opened: a name is resolved once, and the connection goes to the address that was
judged. `check_url` only spares what is plainly wrong a place in the queue.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
import threading
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, urlsplit

import requests
import requests.adapters
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from coop.errors import JobError
from coop.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAX_URL_CHARS = 2048
# The spelling of a host is read once: a few sites and callback hosts are nearly all that is asked about.
_HOSTS_KEPT = 1024

# `is_global` and `is_private` change with the Python version and call multicast, NAT64 and others reachable, so the
# table is written out: IANA's special-purpose registries, and one address that Azure answers on every host.
_SPECIAL_V4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
# Inside 2000::/3: protocol assignments with Teredo, documentation, 6to4. The tunnels are gone from the public net.
_SPECIAL_V6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_LOOPBACK = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))
# Names that never lead to the public net (RFC 6761, 6762, 8375, 9476's neighbours in use).
_PRIVATE_NAMES = ("localhost", "localdomain", "local", "internal", "home.arpa", "lan", "onion")
_UNCLEAR = re.compile(r"[\x00-\x20\x7f-\xa0\\]")
_HOST_CHARS = re.compile(r"[a-z0-9._:-]+")
# WHATWG: a host whose last label is a number is an IPv4 address, in whatever notation.
_NUMERIC_END = re.compile(r"(^|\.)(0x[0-9a-f]*|[0-9]+)\.?$")


def check_url(url: str, settings: Settings) -> None:
    """Refuse a URL that plainly may not be reached. No name is looked up.

    Raises JobError `url_not_allowed` for another scheme than http and https, credentials, control characters, names
    of this machine or of private networks, and addresses that the rules refuse, in any notation.
    """
    parts, port = _split(url)
    if parts.scheme not in ("http", "https"):
        raise _refusal("only http and https addresses are taken")
    if "@" in parts.netloc:
        raise _refusal("it holds credentials")
    host = _ascii_host(parts.hostname or "")
    literal = parse_address(host)
    if literal is not None:
        if not is_allowed(literal, port, settings):
            raise _refusal("it leads to a private or special address")
    elif _is_private_name(host, settings):
        raise _refusal("its host is not a public name")
    elif port not in settings.allow_ports and not settings.allow_networks:
        raise _refusal(f"port {port} is not open to it")


def _split(url: str) -> tuple[SplitResult, int]:
    if len(url) > _MAX_URL_CHARS:
        raise _refusal(f"it is longer than {_MAX_URL_CHARS} characters")
    # urlsplit and the clients would drop or reread some of these, each in its own way.
    if _UNCLEAR.search(url):
        raise _refusal("it holds spaces or control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise _refusal("it is malformed") from error
    return parts, port if port is not None else 443 if parts.scheme == "https" else 80


@lru_cache(_HOSTS_KEPT)
def _ascii_host(name: str) -> str:
    """The host as it goes to the resolver: full-width digits and the like become what they stand for."""
    try:
        host = name.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise _refusal("its host is malformed") from error
    if not _HOST_CHARS.fullmatch(host):
        raise _refusal("its host is malformed")
    return host


def _is_private_name(host: str, settings: Settings) -> bool:
    name = host.rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return not any(loopback in network for loopback in _LOOPBACK for network in settings.allow_networks)
    if settings.allow_networks:
        return False
    return "." not in name or any(name.endswith("." + private) for private in _PRIVATE_NAMES)


@lru_cache(_HOSTS_KEPT)
def parse_address(host: str) -> Address | None:
    """The address that `host` spells, also in decimal, octal, hexadecimal or short form; None when it is a name.

    Raises JobError `url_not_allowed` for a number that is no address.
    """
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    if ":" not in host and not _NUMERIC_END.search(host):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host.rstrip(".")))
    except (OSError, UnicodeError) as error:
        raise _refusal("its host is malformed") from error


def is_allowed(address: Address, port: int, settings: Settings) -> bool:
    """Whether `address` may be reached at `port`: public ones at `settings.allow_ports`, allowed networks at any."""
    address = _unwrap(address)
    if any(address in network for network in settings.allow_networks):
        return True
    return port in settings.allow_ports and _is_public(address)


def _unwrap(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for: mapped, or translated by the well-known NAT64 prefix."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _SPECIAL_V6)


def resolve_allowed(host: str, port: int, settings: Settings) -> list[Address]:
    """The addresses of `host` that may be reached at `port`, in the resolver's order; looked up once.

    Answers that may not be reached are dropped: the caller connects to these addresses and to no name.
    Raises JobError `url_not_allowed` when none is left, OSError when the name does not resolve.
    """
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise _refusal("its host is malformed") from error
    # A list without repetitions that keeps the order.
    found = list(dict.fromkeys(ipaddress.ip_address(answer[4][0]) for answer in answers))
    allowed = [address for address in found if is_allowed(address, port, settings)]
    if not allowed:
        raise _refusal("its host leads to a private or special address, or to a port that is not open to it")
    return allowed


def open_connection(host: str, port: int, settings: Settings, timeout: float) -> socket.socket:
    """A TCP connection to `host`, at the first of its allowed addresses that takes it within `timeout` seconds.

    Raises JobError `url_not_allowed`, or OSError when the name does not resolve or no address answers.
    """
    failure: OSError = OSError("no address")
    for address in resolve_allowed(host, port, settings):
        try:
            return socket.create_connection((str(address), port), timeout=timeout)
        except OSError as error:
            failure = error
    raise failure


class CallbackSession(requests.Session):
    """A session for callbacks whose sockets obey the rules of this module. Close it after use.

    It reads no proxy, netrc or CA setting from the environment and follows no redirect, whatever a call says.
    A refused address raises JobError `url_not_allowed` out of `post`; all else raises requests' own exceptions.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.trust_env = False
        self._lines = _Lines()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _GuardedAdapter(settings, self._lines))

    def abort(self) -> None:
        """End its connections at once, from any thread: a call that waits for one of them raises."""
        self._lines.cut()

    def close(self) -> None:
        super().close()
        self._lines.close()

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class _Lines:
    """Duplicates of a session's sockets, to cut them: TLS takes the sockets themselves away from whoever has them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._is_cut = False

    def add(self, line: socket.socket) -> None:
        with self._lock:
            if self._is_cut:
                line.close()
                raise ConnectionAbortedError("the call was given up")
            self._sockets.append(line.dup())

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            for line in self._sockets:
                with contextlib.suppress(OSError):  # it has ended by itself
                    line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._lock:
            while self._sockets:
                self._sockets.pop().close()


class _GuardedAdapter(requests.adapters.HTTPAdapter):
    """Opens its sockets by `open_connection`; Host header, SNI and certificate check keep the name that was asked."""

    def __init__(self, settings: Settings, lines: _Lines) -> None:
        self._settings, self._lines = settings, lines
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _guarded_pools(self._settings, self._lines)


def _guarded_pools(settings: Settings, lines: _Lines) -> dict[str, type[HTTPConnectionPool]]:
    def connect(connection: HTTPConnection) -> socket.socket:
        timeout = (
            connection.timeout if isinstance(connection.timeout, (int, float)) else settings.socket_timeout_seconds
        )
        try:
            line = open_connection(connection.host, connection.port, settings, timeout)
            lines.add(line)
        except TimeoutError as error:
            raise urllib3.exceptions.ConnectTimeoutError(connection, str(error)) from error
        except OSError as error:
            raise urllib3.exceptions.NewConnectionError(connection, str(error)) from error
        return line

    class GuardedHTTP(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class GuardedHTTPS(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class GuardedHTTPPool(HTTPConnectionPool):
        ConnectionCls = GuardedHTTP

    class GuardedHTTPSPool(HTTPSConnectionPool):
        ConnectionCls = GuardedHTTPS

    return {"http": GuardedHTTPPool, "https": GuardedHTTPSPool}


def _refusal(reason: str) -> JobError:
    return JobError("url_not_allowed", f"The address may not be reached from here: {reason}.")
