"""The service as it runs in production, on this machine: Redis that writes to disk, gateway, workers, stand-ins."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import redis

from coop.sdk import Coop
from tests.benchmarks import stand_ins
from tests.benchmarks.stand_ins import StandIns
from tests.support.fleet import Worker
from tests.support.gateway import served_on
from tests.support.redis_server import RedisServer

Document = dict[str, Any]

# Celery's settings are read with the first message that this process sends; where to, it is told.
os.environ.setdefault("COOP_REDIS_URL", "redis://127.0.0.1:1/0")

# Media sites with an extractor of their own never come to yt-dlp's catch-all; the stand-in's pages need it, but not
# its sweep over all other extractors.
_WORKER = {
    "sites": "generic",
    "transcriber": "openai",
    "analyzer": "openai",
    "log_level": "warning",
    "lease_seconds": "30",
    "cache_days": "1",
}


@dataclass
class Rig:
    """Everything is up. `workers` are started by `start_worker`."""

    folder: Path
    redis_server: RedisServer
    redis: redis.Redis
    gateway: Coop
    gateway_pid: int
    stand_ins: StandIns
    workers: list[Worker] = field(default_factory=list)

    def start_worker(self, name: str, *, slots: int, app: str = "workers.app", **more: Any) -> Worker:
        variables = {
            **_WORKER,
            "text_base_url": self.stand_ins.api,
            "transcribe_base_url": self.stand_ins.api,
            "text_api_key": stand_ins.KEY,
            "transcribe_api_key": stand_ins.KEY,
            "slots": str(slots),
            **more,
        }
        worker = Worker(self.redis_server.url, self.folder, name, supervised=True, app=app, **variables).start()
        self.workers.append(worker)
        # The line that tells of readiness is no warning.
        while not self.redis.zcard("coop:workers") >= len(self.workers):
            time.sleep(0.1)
        return worker

    @property
    def worker_pids(self) -> list[int]:
        return [worker.process.pid for worker in self.workers if worker.process]

    @property
    def redis_pid(self) -> int:
        assert self.redis_server.process
        return self.redis_server.process.pid

    @property
    def service_pids(self) -> list[int]:
        """All processes of the service: gateway, Redis, workers."""
        return [self.gateway_pid, self.redis_pid, *self.worker_pids]

    def submit(self, name: str, page: str | None = None, **more: Any) -> Document:
        """A video of its own, called `name`, or that of `page`, with a callback."""
        more = {"callback_url": self.stand_ins.callback(name), "request_id": name, **more}
        return self.gateway.submit(page or self.stand_ins.page(name), **more)

    def delivered(self, names: set[str], seconds: float) -> dict[str, float]:
        """When the callbacks of all these videos came, Unix time. TimeoutError."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            seen = self.stand_ins.seen()
            if names <= seen.keys():
                return seen
            time.sleep(0.02)
        raise TimeoutError(f"{len(names - seen.keys())} of {len(names)} callbacks did not come in {seconds:g} s")


@contextmanager
def running(delays: dict[str, float], **gateway: str) -> Iterator[Rig]:
    """Redis, gateway and stand-ins; `gateway` are settings of the gateway."""
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="coop-bench-", ignore_cleanup_errors=True))
        )
        server = stack.enter_context(RedisServer(folder / "redis"))
        others = stack.enter_context(stand_ins.running(delays))
        options = {"allow_networks": "127.0.0.0/8", "log_level": "warning", "rate": "10000000", **gateway}
        served = stack.enter_context(served_on(server.url, folder, **options))
        client = stack.enter_context(redis.Redis.from_url(server.url))
        rig = Rig(folder, server, client, served.client, served.process.pid, others)
        try:
            yield rig
        finally:
            for worker in rig.workers:
                worker.stop()


def stage_seconds(document: Document) -> dict[str, float]:
    """How long each stage that has ended ran, by a job's document."""
    return {
        stage["name"]: (_moment(stage["endedAt"]) - _moment(stage["startedAt"])).total_seconds()
        for stage in document["stages"]
        if stage["startedAt"] and stage["endedAt"]
    }


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
