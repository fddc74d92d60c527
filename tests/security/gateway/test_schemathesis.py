"""Thousands of requests made from the gateway's own `/openapi.json`, all checks of Schemathesis on.

No answer is a 5xx or outside the description, with the credentials of a client and without any. Meanwhile jobs end in
every way, so that all routes meet jobs in every state.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from coop.errors import JobError
from coop.job_store import Claim, JobStore
from coop.jobs import DeliveryAttempt, DeliveryStatus, JobStatus, Stage
from tests.support.gateway import Served, served_on
from tests.support.jobs import OUTPUTS, store_of
from tests.support.redis_server import RedisServer

ROOT = Path(__file__).parents[3]
FEWEST_CASES = 2000
SUMMARY = re.compile(r"^  (\d+) generated, (\d+) passed", re.MULTILINE)

_counted: dict[str, int] = {}


@pytest.fixture
def served(own_redis: RedisServer, tmp_path: Path) -> Iterator[Served]:
    with served_on(own_redis.url, tmp_path, max_wait_seconds="1") as gateway, jobs_that_end(own_redis.url):
        yield gateway


@contextmanager
def jobs_that_end(redis_url: str) -> Iterator[None]:
    """Threads that do what workers would, and keep the limit of failures from answering most of what is tried."""
    stopping = threading.Event()

    def forgive() -> None:
        # By itself, and often: a stranger's twenty failures are made within some milliseconds.
        with redis.Redis.from_url(redis_url) as client:
            while not stopping.wait(0.002):
                for key in client.scan_iter("coop:rate:failed-authentication*"):
                    client.delete(key)

    def run() -> None:
        with redis.Redis.from_url(redis_url) as client:
            store, turn = store_of(client), 0
            while not stopping.wait(0.05):
                for job in store.list_jobs(None, JobStatus.QUEUED, 100, None)[0]:
                    turn += 1
                    end(store, job.id, job.run, turn)

    threads = [threading.Thread(target=each) for each in (forgive, run)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def end(store: JobStore, job_id: str, run: int, turn: int) -> None:
    """One way of several, and the callback with it; what a caller changes meanwhile goes its own way."""
    for stage, output in OUTPUTS.items():
        claim = store.claim(job_id, run, stage, "mill")
        if not isinstance(claim, Claim):
            return
        if turn % 3 == 0:
            store.fail(claim, JobError("bot_check"), {})
            break
        (store.succeed if stage is Stage.IDEAS else store.advance)(claim, output, {})  # type: ignore[arg-type]
    delivery = store.claim(job_id, run, Stage.DELIVER, "mill")
    if isinstance(delivery, Claim):
        attempt = DeliveryAttempt(at=store.now_ms(), status=200, error=None, milliseconds=5)
        store.record_delivery(delivery, attempt, DeliveryStatus.DELIVERED, 0, {})


def attack(served: Served, folder: Path, examples: int, **credentials: str) -> str:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("COOP_")},
        "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks",
        "PYTHONPATH": str(ROOT),
        **credentials,
    }
    command = [
        *(str(Path(sys.executable).parent / "schemathesis"), "run", f"{served.url}/openapi.json"),
        *("--checks", "all", "--max-examples", str(examples), "--seed", "1", "--request-timeout", "20"),
        # A stranger's requests lead nowhere, so there is nothing to follow.
        *("--phases", "coverage,fuzzing,stateful" if credentials else "coverage,fuzzing"),
        *("--continue-on-failure", "--no-color", "--suppress-health-check", "all"),
    ]
    ran = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=280, check=False)
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    return ran.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("who", "examples"), [("a client", 80), ("a stranger", 25)])
def test_every_answer_is_as_described(who: str, examples: int, served: Served, tmp_path: Path) -> None:
    made = served.credentials
    credentials = {"COOP_KEY": made.api_key, "COOP_SECRET": made.signing_secret} if who == "a client" else {}
    told = attack(served, tmp_path, examples, **credentials)

    found = SUMMARY.search(told)
    assert found, told[-2000:]
    assert found[1] == found[2]
    _counted[who] = int(found[1])
    statuses = set(re.findall(r'"status": (\d+)', served.log.read_text()))
    assert not {status for status in statuses if status.startswith("5")}
    assert {"200", "202", "404", "409", "422"} <= statuses if credentials else {"401"} <= statuses


def test_there_were_enough_of_them() -> None:
    if len(_counted) < 2:
        pytest.skip("not both were run")

    assert sum(_counted.values()) >= FEWEST_CASES, _counted
