"""HTTPS with a certificate, renewed while it is served; a loud word where there is none."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from coop.sdk import Coop
from coop.settings import SettingsError
from tests.support.authority import Authority
from tests.support.fleet import eventually
from tests.support.gateway import VIDEO, Served, served_on
from tests.support.jobs import settings_of
from tests.support.redis_server import RedisServer


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path).issue()


@pytest.fixture
def served(redis_server: RedisServer, authority: Authority, tmp_path: Path) -> Iterator[Served]:
    places = {"tls_cert": str(authority.certificate), "tls_key": str(authority.key)}
    with served_on(redis_server.url, tmp_path, authority=authority.root, **places) as gateway:
        yield gateway


@pytest.fixture
def coop(served: Served, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Coop:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.root))
    return served.client


def shown(served: Served, authority: Authority, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> int:
    """The serial number of the certificate that is served."""
    context = ssl.create_default_context(cafile=authority.root)
    context.maximum_version = version
    port = int(served.url.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as line,
    ):
        found = line.getpeercert()
        assert found
        return int(str(found["serialNumber"]), 16)


def test_a_job_is_submitted_over_https(coop: Coop, served: Served) -> None:
    accepted = coop.submit(VIDEO, request_id="tls")

    assert accepted["statusUrl"] == f"{served.url}/api/jobs/tls"
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(served.url.replace("https:", "http:"), timeout=5)


def test_browsers_are_told_to_stay_with_https(coop: Coop, served: Served, authority: Authority) -> None:
    answer = requests.get(f"{served.url}/docs", timeout=5, verify=str(authority.root))

    assert int(answer.headers["Strict-Transport-Security"].partition("=")[2]) > 31_000_000


def test_tls_1_2_is_spoken_and_nothing_older(served: Served, authority: Authority) -> None:
    assert shown(served, authority, ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ssl.SSLError), pytest.warns(DeprecationWarning, match="TLSv1_1"):
        shown(served, authority, ssl.TLSVersion.TLSv1_1)


def test_a_renewed_certificate_is_taken_up_and_a_broken_one_is_not(
    coop: Coop, served: Served, authority: Authority
) -> None:
    first = shown(served, authority)
    authority.certificate.write_text("half a certif")
    eventually(lambda: "cannot be used" in served.log.read_text(), what="a word about the broken one")
    assert shown(served, authority) == first

    authority.issue()
    # While the two processes change places, either may answer; nobody is refused.
    eventually(lambda: coop.jobs() and shown(served, authority) != first, what="the new certificate")
    assert coop.submit(VIDEO, request_id="after")["status"] == "queued"


def test_a_key_without_its_certificate_is_no_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="COOP_TLS_CERT and COOP_TLS_KEY go together"):
        settings_of("redis://unused", tls_key=str(tmp_path))


def test_a_gateway_open_to_the_net_without_tls_says_so_loudly(redis_server: RedisServer, tmp_path: Path) -> None:
    with served_on(redis_server.url, tmp_path, host="0.0.0.0") as gateway:  # noqa: S104  # what the test is about
        assert "WITHOUT TLS" in gateway.log.read_text()


def test_a_gateway_on_loopback_has_nothing_to_say_about_tls(redis_server: RedisServer, tmp_path: Path) -> None:
    with served_on(redis_server.url, tmp_path) as gateway:
        assert "TLS" not in gateway.log.read_text()


def test_a_certificate_that_cannot_be_used_is_said_before_anything_is_served(
    redis_server: RedisServer, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    environment = {
        "PATH": "",
        "COOP_REDIS_URL": redis_server.url,
        "COOP_TLS_CERT": str(authority.certificate),
        "COOP_TLS_KEY": str(Authority(tmp_path / "other").issue().key),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "api.serve"], env=environment, capture_output=True, text=True, timeout=30, check=False
    )

    assert (ended.returncode, "KEY_VALUES_MISMATCH" in ended.stderr) == (2, True)
