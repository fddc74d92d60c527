"""Real worker processes for tests, with the stub stages of `tests.support.stub_worker`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil

from coop import queue
from coop.clients import ClientRegistry
from coop.job_store import JobStore
from coop.jobs import STAGES, DeliveryStatus, Job, Stage, job_id_of
from coop.redis_address import client_of
from tests.support.jobs import CLIENT, new_job, settings_of
from workers.run import celery_command

T = TypeVar("T")


def eventually(look: Callable[[], T | None], seconds: float = 20, what: str = "it") -> T:
    """The first true answer of `look`, asked again and again. AssertionError when there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = look()
        if answer:
            return answer
        time.sleep(0.03)
    raise AssertionError(f"{what} did not happen within {seconds} s")


APP = "tests.support.stub_worker"


class Worker:
    """One Celery process, alone or under its supervisor. Its log is in `folder`.

    `stub`: variables for `tests.support.stub_worker`; the others are settings.
    """

    def __init__(
        self,
        redis_url: str,
        folder: Path,
        name: str = "mill",
        *,
        supervised: bool = False,
        app: str = APP,
        stub: dict[str, str] | None = None,
        stages: Sequence[Stage] = STAGES,
        **variables: str,
    ) -> None:
        self.log = folder / f"{name}.log"
        self.data_dir = folder / name
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("COOP_", "OPENAI_"))},
            "COOP_REDIS_URL": redis_url,
            "COOP_DATA_DIR": str(self.data_dir),
            "COOP_MACHINE": name,
            "COOP_ALLOW_NETWORKS": "127.0.0.0/8",
            "COOP_LOG_FORMAT": "json",
            "COOP_SLOTS": "4",
            "COOP_CACHE_DAYS": "0",  # tests send the same video again and again
            **{f"COOP_{key.upper()}": value for key, value in variables.items()},
            **{f"STUB_{key.upper()}": value for key, value in (stub or {}).items()},
        }
        self.is_supervised = supervised
        self.command = (
            [sys.executable, "-m", "workers.run", "--app", app, "--stages", ",".join(stages)]
            if supervised
            else celery_command(list(stages), int(self.environment["COOP_SLOTS"]), name, app)
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Worker:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log, cwd=Path(__file__).parents[2]
            )
        return self

    @property
    def starts(self) -> int:
        """How often its Celery process has come up."""
        return self.log.read_bytes().count(b"worker ready")

    def wait_until_ready(self, starts: int = 1) -> Worker:
        eventually(lambda: self.starts >= starts, 80, f"{self.log.read_text()}\nreadiness")
        return self

    def celery(self) -> psutil.Process | None:
        """The process that runs the stages; None between a death and the next start."""
        assert self.process
        if not self.is_supervised:
            return psutil.Process(self.process.pid)
        return next(iter(psutil.Process(self.process.pid).children()), None)

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the Celery process as a crash would; its supervisor, if it has one, starts another."""
        celery = self.celery()
        if celery:
            with suppress(psutil.NoSuchProcess):
                celery.kill()
        if not self.is_supervised:
            self.wait()

    def pause(self) -> None:
        self._signal_celery(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_celery(signal.SIGCONT)

    def _signal_celery(self, number: signal.Signals) -> None:
        celery = self.celery()
        assert celery
        celery.send_signal(number)

    def wait(self, seconds: float = 30) -> int:
        assert self.process
        return self.process.wait(seconds)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            family = psutil.Process(self.process.pid).children(recursive=True)
            for process in (*family, self.process):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                for process in family:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
                self.wait()


class Fleet:
    """A Redis with a client registered, and the workers on it."""

    def __init__(self, redis_url: str, folder: Path) -> None:
        self.redis_url = redis_url
        self.folder = folder
        self.redis = client_of(redis_url)
        self.store = JobStore(self.redis, settings_of(redis_url))
        self.secret = ClientRegistry(self.redis).add(CLIENT).signing_secret
        self.workers: list[Worker] = []
        queue.use_as_publisher(redis_url, 5)

    def start(self, name: str = "mill", *, redis_url: str | None = None, ready: bool = True, **options: Any) -> Worker:
        """A worker, ready to work; `redis_url` when its line to Redis is another. `options` are those of `Worker`."""
        worker = Worker(redis_url or self.redis_url, self.folder, name, **{"lease_seconds": "2", **options}).start()
        self.workers.append(worker)
        return worker.wait_until_ready() if ready else worker

    def submit(
        self,
        request_id: str = "r1",
        video_url: str = "https://stub/",
        callback_url: str | None = None,
        **changes: Any,
    ) -> str:
        """Accept a job and send its first message, as the gateway does; returns the job's id."""
        job = self.accept(request_id, video_url, callback_url, **changes)
        queue.enqueue(job)
        return job.id

    def accept(
        self,
        request_id: str = "r1",
        video_url: str = "https://stub/",
        callback_url: str | None = None,
        **changes: Any,
    ) -> Job:
        """Accept a job and send no message, as a gateway does that dies in between."""
        return self.store.accept(new_job(request_id, video_url=video_url, callback_url=callback_url, **changes)).job

    def job(self, request_id: str = "r1") -> Job:
        job = self.store.get(job_id_of(CLIENT, request_id))
        assert job
        return job

    def when(self, is_so: Callable[[Job], object], request_id: str = "r1", seconds: float = 20) -> Job:
        """The job once `is_so(job)` is true."""
        return eventually(
            lambda: job if is_so(job := self.job(request_id)) else None, seconds, f"what was waited for of {request_id}"
        )

    def ended(self, request_id: str = "r1", seconds: float = 20) -> Job:
        """The job once its outcome is there and its delivery is over."""
        return self.when(
            lambda job: job.status.is_final and job.delivery.status is not DeliveryStatus.PENDING, request_id, seconds
        )

    def close(self) -> None:
        for worker in self.workers:
            if worker.process and worker.process.poll() is None:
                worker.signal(signal.SIGTERM)  # all at once, so that they end side by side
        for worker in self.workers:
            worker.stop()
        queue.close()
        self.redis.close()


@contextmanager
def fleet_on(redis_url: str, folder: Path) -> Iterator[Fleet]:
    fleet = Fleet(redis_url, folder)
    try:
        yield fleet
    finally:
        fleet.close()
