"""`coop up`"""

from __future__ import annotations

import secrets
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from threading import Event

import click
import redis
import requests
import urllib3
from pydantic import SecretStr

from coop.clients import ClientRegistry
from coop.embedded_redis import EmbeddedRedis
from coop.job_store import JobStore
from coop.local_client import ensure_client
from coop.logs import configure_logs
from coop.parts import flower_part, gateway_part, worker_part
from coop.redis_client import connect
from coop.settings import Settings, read_settings
from coop.supervisor import Child, Supervisor, SupervisorError

EDGE_GRACE_SECONDS = 15.0


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the gateway, 0 for a free one.  [default: 8080]")
@click.option("--slots", type=click.IntRange(1, 512), help="Stages the worker runs at once.  [default: COOP_SLOTS]")
def command(port: int | None, slots: int | None) -> None:
    """Run the whole service on this machine until Ctrl-C: Redis if COOP_REDIS_URL is unset, gateway, worker, Flower.

    Each address is printed on a line of its own when it is ready.
    """
    given = read_settings()
    settings = _prepare(given, port, slots)
    configure_logs(settings)
    stopping = _stop_on_signals()
    with Supervisor(settings.data_dir, announce=_say) as supervisor:
        if settings.redis_url is None:
            supervisor.start(_RedisPart(settings))
        with connect(settings) as client:
            gateway_url = _local_url(settings.host, settings.port, "https" if settings.tls_cert else "http")
            ensure_client(settings, ClientRegistry(client), settings.public_url or gateway_url)
            supervisor.start(_gateway(settings, gateway_url))
            supervisor.start(_worker(settings, JobStore(client, settings)))
            supervisor.start(_flower(settings, tell_password=given.flower_basic_auth is None))
            supervisor.watch(stopping)


class _RedisPart:
    """The embedded Redis, as the supervisor wants it."""

    name = "redis"

    def __init__(self, settings: Settings) -> None:
        self._server = EmbeddedRedis(settings.data_dir)
        self.start, self.poll, self.stop = self._server.start, self._server.poll, self._server.stop
        self._address_file = settings.data_dir / "redis.json"

    def address(self) -> str:
        host = self._server.url.rpartition("@")[2]
        return f"redis redis://{host} (password in {self._address_file})"


def _prepare(settings: Settings, port: int | None, slots: int | None) -> Settings:
    """Every choice made: ports that are free, a password for Flower. Raises SupervisorError for a port in use."""
    chosen = {
        "port": _free_port(settings.host, settings.port if port is None else port, "--port or COOP_PORT"),
        "flower_port": _free_port(settings.flower_host, settings.flower_port, "COOP_FLOWER_PORT"),
        "slots": slots or settings.slots,
        "flower_basic_auth": settings.flower_basic_auth or SecretStr(f"coop:{secrets.token_urlsafe(12)}"),
    }
    return settings.model_copy(update=chosen)


def _free_port(host: str, port: int, setting: str) -> int:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        if sys.platform != "win32":  # there it would let two servers share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise SupervisorError(f"{host}:{port} cannot be used ({error.strerror}): set {setting}") from error
        return int(probe.getsockname()[1])


def _gateway(settings: Settings, url: str) -> Child:
    return Child(gateway_part(settings), _when_it_answers(f"{url}/health/live", f"gateway {url}"), EDGE_GRACE_SECONDS)


def _worker(settings: Settings, jobs: JobStore) -> Child:
    def address() -> str | None:
        try:
            is_known = settings.machine in jobs.census().machine_names
        except redis.RedisError:
            return None
        return f"worker {settings.machine}, {settings.slots} slots" if is_known else None

    return Child(worker_part(settings), address, settings.shutdown_seconds + 20)


def _flower(settings: Settings, *, tell_password: bool) -> Child:
    """`tell_password`: it was made up here. The operator's own stays unsaid: what is printed may end in a log."""
    url = _local_url(settings.flower_host, settings.flower_port)
    assert settings.flower_basic_auth  # noqa: S101  # _prepare has made one
    line = f"flower {url} {settings.flower_basic_auth.get_secret_value()}" if tell_password else f"flower {url}"
    return Child(flower_part(settings), _when_it_answers(f"{url}/healthcheck", line), EDGE_GRACE_SECONDS)


def _when_it_answers(url: str, line: str) -> Callable[[], str | None]:
    def address() -> str | None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
                # Its own child on this machine, whose certificate is made out to the public name.
                return line if requests.get(url, timeout=1, verify=False).ok else None  # noqa: S501  # see above
        except requests.RequestException:
            return None

    return address


def _local_url(host: str, port: int, scheme: str = "http") -> str:
    here = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104  # read, not bound
    return f"{scheme}://{here}:{port}"


def _stop_on_signals() -> Event:
    """An event that Ctrl-C and SIGTERM set; a second Ctrl-C ends the orderly stop."""
    stopping = Event()

    def stop(number: int, frame: object) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()

    names = ("SIGINT", "SIGTERM", "SIGBREAK")  # the last on Windows alone
    for name in names:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), stop)
    return stopping


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()  # whoever reads us through a pipe waits for it
