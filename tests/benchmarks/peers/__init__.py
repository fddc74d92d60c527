"""What people would write instead of the gateway: no key, no signature, no schema, no record; one push to Redis."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import requests

from tests.benchmarks.load import request_bytes
from tests.support.fleet import eventually
from tests.support.redis_server import RedisServer, free_port

_FOLDER = Path(__file__).parent
EXPRESS = "Express with BullMQ"


def submissions(count: int) -> Iterator[bytes]:
    for _ in range(count):
        name = f"req_{secrets.token_hex(8)}"
        document = {"requestId": name, "videoUrl": f"https://video.example.org/watch?v={name}", "priority": "normal"}
        body = json.dumps(document).encode()
        yield request_bytes("POST", "/api/process-video", {"Content-Type": "application/json"}, body)


@contextmanager
def express() -> Iterator[int | None]:
    """Its port; None where there is no Node, or no registry to install from."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="coop-peer-") as folder:
        shutil.copytree(_FOLDER / "express_bullmq", folder, dirs_exist_ok=True)
        done = subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=False)
        if done.returncode:
            yield None
            return
        with _serving(["node", "server.js"], Path(folder)) as port:
            yield port


@contextmanager
def bare_flask() -> Iterator[int | None]:
    command = [
        sys.executable,
        "-m",
        "granian",
        "--interface",
        "wsgi",
        "--blocking-threads",
        "64",
        "--log-level",
        "error",
    ]
    with _serving([*command, "--host", "127.0.0.1", "bare_flask:app"], _FOLDER) as port:
        yield port


@contextmanager
def _serving(command: list[str], folder: Path) -> Iterator[int]:
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coop-peer-redis-")))
        server = stack.enter_context(RedisServer(data, "--appendonly", "no"))  # as it comes
        port = free_port()
        environment = {**os.environ, "PORT": str(port), "GRANIAN_PORT": str(port), "REDIS_PORT": str(server.port)}
        process = subprocess.Popen(command, cwd=folder, env=environment)
        try:
            eventually(lambda: _answers(port), what="the peer's first answer")
            yield port
        finally:
            process.terminate()
            process.wait(10)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/health/live", timeout=2).ok
    except requests.ConnectionError:
        return False


ALL: dict[str, Callable[[], AbstractContextManager[int | None]]] = {
    "bare Flask with LPUSH": bare_flask,
    EXPRESS: express,
}
