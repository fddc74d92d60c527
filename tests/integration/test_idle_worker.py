"""What a worker takes while it waits for its first job."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.benchmarks.machine import memory_bytes
from tests.support.fleet import Worker, eventually
from tests.support.redis_server import RedisServer

_MOST_BYTES = 150e6
_NOBODY = "http://127.0.0.1:1/v1"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory that processes share cannot be counted once")
def test_all_its_processes_together_stay_under_150_mb(redis_server: RedisServer, tmp_path: Path) -> None:
    engines = {"transcriber": "openai", "transcribe_base_url": _NOBODY, "analyzer": "openai", "text_base_url": _NOBODY}
    worker = Worker(redis_server.url, tmp_path, supervised=True, app="workers.app", **engines).start()
    try:
        worker.wait_until_ready()
        assert worker.process
        supervisor = worker.process.pid

        eventually(lambda: memory_bytes(supervisor) < _MOST_BYTES, 60, "less memory")
    finally:
        worker.stop()
