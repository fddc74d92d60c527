"""The egress rules where sockets are opened: the session for callbacks and the proxy of yt-dlp's children."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from coop.egress import CallbackSession
from coop.errors import JobError
from coop.settings import Settings
from tests.support.authority import Authority
from tests.support.sites import Site, content, never, redirect, running_site
from workers.engines.egress_proxy import EgressProxy

LOOPBACK = Settings(allow_networks="127.0.0.0/8", socket_timeout_seconds=2)  # type: ignore[arg-type]  # as the environment gives it


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


@pytest.fixture
def session() -> Iterator[CallbackSession]:
    with CallbackSession(LOOPBACK) as made:
        yield made


def resolve_to(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every name of the domain `example` lead to `address`."""
    resolve = socket.getaddrinfo

    def answer(host: str, *how: Any, **more: Any) -> list[Any]:
        return resolve(address if host.endswith(".example") else host, *how, **more)

    monkeypatch.setattr("socket.getaddrinfo", answer)


def test_a_callback_reaches_an_allowed_network(site: Site, session: requests.Session) -> None:
    site.add("/hook", content(b"taken", "text/plain"))

    assert session.get(site.url("/hook"), timeout=5).content == b"taken"


def drip(listener: socket.socket, tls: ssl.SSLContext | None, has_ended: threading.Event) -> None:
    """Answer one request with a line that never ends."""
    line, _ = listener.accept()
    line = tls.wrap_socket(line, server_side=True) if tls else line
    with line, contextlib.suppress(OSError):
        while not has_ended.wait(0.05):
            line.sendall(b"H")
    has_ended.set()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_call_that_is_given_up_ends_its_connection(scheme: str, session: CallbackSession, tmp_path: Path) -> None:
    authority = Authority(tmp_path).issue()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if scheme == "https" else None
    if tls:
        tls.load_cert_chain(authority.certificate, authority.key)
    has_ended, session.verify = threading.Event(), str(authority.root)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver = threading.Thread(target=drip, args=(listener, tls, has_ended))
        receiver.start()
        threading.Timer(0.5, session.abort).start()
        with pytest.raises(requests.ConnectionError):
            session.post(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/", timeout=20)
        session.close()
        receiver.join(20)

    assert has_ended.is_set()


def test_a_call_that_was_given_up_before_it_began_connects_to_nobody(site: Site, session: CallbackSession) -> None:
    session.abort()

    with pytest.raises(requests.ConnectionError):
        session.post(site.url("/hook"), timeout=5)
    assert site.requests == []


def test_a_callback_keeps_the_host_it_was_asked_for(
    site: Site, session: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts: list[str | None] = []
    site.answers["/hook"] = lambda request: (hosts.append(request.headers["Host"]), content(b"")(request))[1]
    resolve_to("127.0.0.1", monkeypatch)
    session.get(f"http://hooks.example:{site.port}/hook", timeout=5)

    assert hosts == [f"hooks.example:{site.port}"]


def test_a_callback_to_a_private_address_is_refused(site: Site) -> None:
    with CallbackSession(Settings()) as session, pytest.raises(JobError, match="url_not_allowed"):
        session.get(site.url("/hook"), timeout=5)

    assert site.requests == []


def test_a_callback_whose_name_leads_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to("10.0.0.1", monkeypatch)
    with CallbackSession(Settings()) as session, pytest.raises(JobError, match="url_not_allowed"):
        session.post("https://hooks.example/", timeout=5)


def test_a_callback_follows_no_redirect_even_when_told_to(site: Site, session: requests.Session) -> None:
    site.add("/hook", redirect(site.url("/elsewhere")))

    assert session.get(site.url("/hook"), timeout=5, allow_redirects=True).status_code == 302
    assert site.requests == ["/hook"]


def test_a_callback_takes_no_proxy_from_the_environment(
    site: Site, session: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    site.add("/hook", content(b"taken"))

    assert session.get(site.url("/hook"), timeout=5).ok


def test_a_callback_to_nobody_is_a_connection_error(session: requests.Session) -> None:
    with pytest.raises(requests.ConnectionError):
        session.get("http://127.0.0.1:1/", timeout=5)


def test_a_callback_to_a_silent_host_times_out(site: Site, session: requests.Session) -> None:
    with pytest.raises(requests.Timeout):
        session.get(site.add("/hook", never()), timeout=0.2)


@pytest.fixture
def proxy() -> Iterator[EgressProxy]:
    running = EgressProxy(LOOPBACK)
    yield running
    running.close()


class Client:
    """As much of SOCKS5 as it takes to try the proxy."""

    def __init__(self, proxy: EgressProxy, password: str | None = None) -> None:
        user_info, _at, address = proxy.url("tester").removeprefix("socks5h://").rpartition("@")
        self.password = user_info.partition(":")[2] if password is None else password
        self.socket = socket.create_connection(("127.0.0.1", int(address.partition(":")[2])), timeout=5)

    def authenticate(self) -> int:
        """0 when the proxy lets us in."""
        self.socket.sendall(b"\x05\x01\x02")
        assert self.socket.recv(2) == b"\x05\x02"
        self.socket.sendall(b"\x01\x06tester" + bytes([len(self.password)]) + self.password.encode())
        return self.socket.recv(2)[1]

    def connect(self, host: str, port: int, command: int = 1) -> int:
        """The proxy's reply."""
        self.authenticate()
        name = bytes([3, len(host)]) + host.encode()
        self.socket.sendall(bytes([5, command, 0]) + name + struct.pack("!H", port))
        return self.socket.recv(10)[1]


def test_the_proxy_carries_bytes_both_ways(proxy: EgressProxy, site: Site) -> None:
    site.add("/v", content(b"x" * 100_000))
    client = Client(proxy)
    with client.socket:
        assert client.connect("127.0.0.1", site.port) == 0
        client.socket.sendall(b"GET /v HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.socket.recv(65536), b""))

    assert answer.endswith(b"x" * 100_000)


def test_the_proxy_refuses_a_private_address_and_says_so(proxy: EgressProxy) -> None:
    client = Client(proxy)
    with client.socket:
        assert client.connect("10.0.0.1", 80) == 2

    assert len(proxy.take_refusals("tester")) == 1
    assert proxy.take_refusals("tester") == []


def test_the_proxy_connects_to_what_it_judged(proxy: EgressProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to("192.168.0.1", monkeypatch)
    client = Client(proxy)
    with client.socket:
        assert client.connect("rebound.example", 80) == 2


def test_the_proxy_tells_a_refused_connection_from_a_refusal(proxy: EgressProxy) -> None:
    client = Client(proxy)
    with client.socket:
        assert client.connect("127.0.0.1", 1) == 5

    assert proxy.take_refusals("tester") == []


def test_the_proxy_lets_nobody_in_without_its_secret(proxy: EgressProxy) -> None:
    client = Client(proxy, password="guess")
    with client.socket:
        assert client.authenticate() == 1
        assert client.socket.recv(1) == b""


def test_the_proxy_demands_a_password(proxy: EgressProxy) -> None:
    client = Client(proxy)
    with client.socket:
        client.socket.sendall(b"\x05\x01\x00")

        assert client.socket.recv(2) == b"\x05\xff"


def test_the_proxy_does_nothing_but_connect(proxy: EgressProxy) -> None:
    client = Client(proxy)
    with client.socket:
        assert client.connect("127.0.0.1", 80, command=2) == 7


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x05", b"\x05\xff" + bytes(300)])
def test_garbage_does_not_stop_the_proxy(garbage: bytes, proxy: EgressProxy, site: Site) -> None:
    with Client(proxy).socket as broken:
        broken.sendall(garbage)
    client = Client(proxy)
    with client.socket:
        assert client.connect("127.0.0.1", site.port) == 0


def test_closing_the_proxy_ends_its_connections(site: Site) -> None:
    proxy = EgressProxy(LOOPBACK)
    client = Client(proxy)
    with client.socket:
        client.connect("127.0.0.1", site.port)
        proxy.close()

        assert client.socket.recv(1) == b""
