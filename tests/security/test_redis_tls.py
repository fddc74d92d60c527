"""rediss:// with a certificate on both sides, for the gateway, the messages and a whole worker.

The packaged Valkey speaks no TLS, so this needs a redis-server or valkey-server of the machine that does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from coop.jobs import JobStatus
from tests.support.fleet import fleet_on
from tests.support.guarded_redis import DEPLOY, Certificates, GuardedRedis, server_with_tls

SERVER = server_with_tls()

pytestmark = pytest.mark.skipif(SERVER is None, reason="no redis-server with TLS on this machine")


class TlsRedis(GuardedRedis):
    """Started on deploy/redis/redis.conf itself, with the folders of the test in place of /etc and /var."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.certificates = Certificates(folder / "tls")
        configuration = (DEPLOY / "redis.conf").read_text().replace("/var/lib/valkey", str(folder))
        for name in ("server.pem", "server.key", "ca.pem"):
            configuration = configuration.replace(f"/etc/valkey/{name}", f"{folder}/tls/{name}")
        configuration = configuration.replace("/etc/valkey/users.acl", f"{folder}/users.acl").replace("6380", "{port}")
        (folder / "redis.conf").write_text(configuration.format(port=self.port) + "\nbind 127.0.0.1\n")

    def command(self) -> list[str]:
        return [str(SERVER), str(self.folder / "redis.conf")]

    def url_of(self, user: str, certificate: str | None = "machine") -> str:
        return super().url_of(user).replace("redis://", "rediss://") + self.certificates.query(certificate)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    with TlsRedis(tmp_path_factory.mktemp("tls")) as running:
        yield running


def test_a_job_goes_through_over_tls(server: TlsRedis, tmp_path: Path) -> None:
    with fleet_on(server.url_of("operator"), tmp_path) as fleet:
        fleet.start(redis_url=server.url_of("deliverer"))
        fleet.submit()

        assert fleet.ended().status is JobStatus.SUCCEEDED
    assert server.denials() == []


def test_a_machine_without_a_certificate_is_not_spoken_to(server: TlsRedis) -> None:
    with (
        redis.Redis.from_url(server.url_of("worker", certificate=None)) as client,
        pytest.raises(redis.ConnectionError),
    ):
        client.ping()


def test_a_server_of_another_ca_is_not_spoken_to(server: TlsRedis, tmp_path: Path) -> None:
    other = Certificates(tmp_path / "other")
    url = server.url_of("worker").replace(f"{server.certificates.folder}/ca.pem", f"{other.folder}/ca.pem")
    with redis.Redis.from_url(url) as client, pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        client.ping()


def test_there_is_no_port_without_tls(server: TlsRedis) -> None:
    with redis.Redis(port=server.port) as client, pytest.raises(redis.ConnectionError):
        client.ping()
