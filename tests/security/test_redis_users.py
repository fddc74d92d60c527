"""The service under deploy/redis: every part with its own user, and what each user is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import requests

from coop import queue
from coop.clients import ClientRegistry
from coop.jobs import JobStatus, Stage
from tests.support.callback_receiver import CallbackReceiver
from tests.support.fleet import Fleet, eventually, fleet_on
from tests.support.gateway import VIDEO, Served, served_on
from tests.support.guarded_redis import DEPLOY, GuardedRedis, make_users
from tests.support.redis_server import free_port

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no server is carried for Windows")

FINDING = [stage for stage in Stage if stage is not Stage.DELIVER]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedRedis]:
    with GuardedRedis(tmp_path_factory.mktemp("guarded")) as server:
        yield server


@pytest.fixture(scope="module")
def served(guarded: GuardedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("gateway")
    operator = guarded.url_of("operator")
    with served_on(guarded.url_of("gateway"), folder, operator_url=operator, allow_networks="127.0.0.0/8") as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _a_new_log(guarded: GuardedRedis) -> None:
    with guarded.client("admin") as admin:
        admin.acl_log_reset()


@pytest.fixture(scope="module")
def fleet(guarded: GuardedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A worker of a home and one that delivers, each as its own user."""
    with fleet_on(guarded.url_of("operator"), tmp_path_factory.mktemp("fleet")) as running:
        running.start("home", redis_url=guarded.url_of("worker"), stages=FINDING)
        running.start("hall", redis_url=guarded.url_of("deliverer"), stages=[Stage.DELIVER])
        yield running


@contextmanager
def flower_on(url: str) -> Iterator[str]:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "coop.queue:app",
        "flower",
        "--address=127.0.0.1",
        f"--port={port}",
    ]
    environment = {"COOP_REDIS_URL": url, "FLOWER_UNAUTHENTICATED_API": "true", "PATH": ""}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def workers_that_flower_sees(url: str) -> dict[str, object]:
    try:
        found: dict[str, object] = requests.get(f"{url}/api/workers?refresh=1", timeout=10).json()
    except (requests.RequestException, ValueError):
        return {}
    return found


def test_a_job_goes_through_the_whole_service_and_nobody_is_refused_anything(
    guarded: GuardedRedis, served: Served, fleet: Fleet
) -> None:
    with CallbackReceiver(served.credentials.signing_secret) as receiver:
        served.client.submit(VIDEO, request_id="r1", callback_url=receiver.url)
        callback = receiver.wait(30)
    served.client.submit(f"{VIDEO}&download.error=source_error&download.times=1", request_id="r2")
    retried = served.client.wait("r2", 20)

    assert (callback.problem, callback.document["success"]) == (None, True)
    assert retried["status"] == "succeeded"
    assert "coop_jobs_total" in requests.get(f"{served.url}/metrics", timeout=5).text
    assert guarded.denials() == []


def test_flower_sees_the_workers_and_is_refused_nothing(guarded: GuardedRedis, fleet: Fleet) -> None:
    with flower_on(guarded.url_of("flower")) as url:
        eventually(lambda: len(workers_that_flower_sees(url)) == 2, 30, "two workers in Flower")
        fleet.submit("seen-by-flower")
        eventually(lambda: requests.get(f"{url}/api/tasks", timeout=10).json(), what="a task in Flower")

    assert guarded.denials() == []


def test_an_operators_commands_are_refused_nothing(guarded: GuardedRedis, fleet: Fleet) -> None:
    with redis.Redis.from_url(guarded.url_of("operator")) as client:
        registry = ClientRegistry(client)
        registry.add("short-lived")
        registry.rotate("short-lived")
        registry.remove("short-lived")
    queue.use_as_publisher(guarded.url_of("operator"), 5)
    fleet.submit("by-the-operator")

    assert fleet.ended("by-the-operator").status is JobStatus.SUCCEEDED
    assert fleet.store.check() == []
    assert guarded.denials() == []


def test_an_exporter_reads_numbers(guarded: GuardedRedis, fleet: Fleet) -> None:
    with guarded.client("metrics") as exporter:
        assert exporter.info("memory")["used_memory"]
        assert exporter.llen(Stage.METADATA.queue) == 0
        assert isinstance(exporter.hgetall("coop:metrics"), dict)


EVERYBODY = ("gateway", "worker", "deliverer", "flower", "metrics", "operator")
TO_NOBODY = [
    "FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG SET dir /tmp", "SHUTDOWN", "MODULE LIST", "ACL LIST",
    "MONITOR", "REPLICAOF 127.0.0.1 1", "SAVE", "BGREWRITEAOF", "CLIENT LIST", "CLIENT KILL ID 1", "FUNCTION LIST",
    "SORT x", "MIGRATE 127.0.0.1 1 x 0 1", "SWAPDB 0 1", "SET elsewhere 1", "GET elsewhere", "PUBLISH elsewhere x",
]  # fmt: skip
READING_CLIENTS = ["HGETALL coop:clients", "HGET coop:clients shop"]
CHANGING_CLIENTS = ["HSET coop:clients evil x", "DEL coop:clients", "HSET coop:client-keys x evil"]
JOBS = ["HGETALL coop:job:shop:r1", "HSET coop:job:shop:r1 outcome forged", "GET coop:artifact:shop:r1:audio"]
QUEUES = ["LPUSH coop.metadata x", "RPOP coop.deliver", "LINDEX coop.metadata 0"]
SCRIPTS = ["EVALSHA 0000000000000000000000000000000000000000 0", "SCRIPT LOAD x"]
REFUSED = [
    *((user, command) for user in EVERYBODY for command in TO_NOBODY),
    *(("gateway", command) for command in [*CHANGING_CLIENTS, JOBS[2], "PUBLISH /0.celery.pidbox x", "BRPOP x 1"]),
    *(("worker", command) for command in [*READING_CLIENTS, *CHANGING_CLIENTS, "HGET coop:client-keys x"]),
    *(("deliverer", command) for command in [*CHANGING_CLIENTS, "HGET coop:client-keys x", "CONFIG GET dir"]),
    *(("flower", command) for command in [*READING_CLIENTS, *CHANGING_CLIENTS, *JOBS, *QUEUES]),
    *(("metrics", command) for command in [*READING_CLIENTS, *CHANGING_CLIENTS, *JOBS, *QUEUES, *SCRIPTS]),
    ("metrics", "HSET coop:metrics x 1"), ("metrics", "PUBLISH coop:changes x"), ("flower", "PUBLISH coop:changes x"),
]  # fmt: skip


@pytest.mark.parametrize(("user", "command"), REFUSED, ids=lambda part: part.replace(" ", "_"))
def test_a_user_is_refused_what_is_not_its_business(user: str, command: str, guarded: GuardedRedis) -> None:
    with guarded.client(user) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command.split())


def test_a_script_reaches_no_further_than_its_user(guarded: GuardedRedis) -> None:
    with guarded.client("worker") as client:
        sha = client.script_load("return redis.call('HGETALL', 'coop:clients')")
        with pytest.raises(redis.ResponseError, match="permission"):
            client.evalsha(sha, 0)


def test_nobody_gets_in_without_a_password(guarded: GuardedRedis) -> None:
    for url in (guarded.url, guarded.url.replace("//", "//:guess@"), guarded.url.replace("//", "//worker:guess@")):
        with redis.Redis.from_url(url) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.get("coop:clients")


def test_the_users_file_holds_no_password_and_is_its_owners_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_users().main(str(tmp_path / "users.acl"), "redis.example.org:6380")
    written, told = (tmp_path / "users.acl").read_text(), capsys.readouterr().out
    passwords = [line.split(":")[2].split("@")[0] for line in told.splitlines()]

    assert len(set(passwords)) == len(EVERYBODY)
    assert not any(password in written for password in passwords)
    assert ">" not in written + (DEPLOY / "users.acl").read_text().partition("user default")[2]
    assert (tmp_path / "users.acl").stat().st_mode & 0o077 == 0
