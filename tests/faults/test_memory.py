"""Redis' memory over many jobs: what one takes while it waits, and that nothing stays of those that are over."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from coop import queue
from coop.artifacts import RedisArtifacts
from coop.job_store import JobStore
from coop.jobs import STAGES, Stage
from tests.support.fleet import eventually
from tests.support.jobs import OUTPUTS, accepted, advance_to, claimed, settings_of
from tests.support.redis_server import RedisServer

VIDEO = "https://www.youtube.com/shorts/dJd3wLG65yc"
CALLBACK = "https://production.example.org/api/video-result"


def used_bytes(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory_dataset"])


@pytest.mark.parametrize(
    "jobs", [pytest.param(1_000, id="short"), pytest.param(10_000, id="long", marks=[pytest.mark.long])]
)
@pytest.mark.timeout(900)
def test_redis_memory_is_bounded_over_many_jobs(tmp_path: Path, jobs: int) -> None:
    # How often the disk is synced is of no account here, and the test quick without.
    with RedisServer(tmp_path / "redis", "--appendfsync", "no") as server:
        queue.use_as_publisher(server.url, 5)
        with redis.Redis.from_url(server.url) as client:
            store = JobStore(client, settings_of(server.url, retention_days="0.0000001"))
            run_through(store, "warm")
            store.forget()
            empty = used_bytes(client)
            for number in range(jobs):
                queue.enqueue(accepted(store, f"r{number}", video_url=VIDEO, callback_url=CALLBACK).job)
            queued_kb = (used_bytes(client) - empty) / jobs / 1024
            client.flushdb()
            for number in range(jobs):
                run_through(store, f"r{number}")
                if number % 100 == 99:
                    store.forget()
            eventually(lambda: store.forget() == 0 and not client.exists("coop:ended"))
            left = used_bytes(client) - empty
            keys = sorted(key.decode() for key in client.keys("*"))
        queue.close()

    print(f"{jobs} jobs: {queued_kb:.2f} KB for each that waits, {left / 1024:.0f} KB left when all are forgotten")  # noqa: T201  # the figures
    assert queued_kb < 4
    assert left < 200_000
    assert keys == ["coop:mean_job_ms", "coop:metrics"]


def run_through(store: JobStore, request_id: str) -> None:
    """From its acceptance to its end, with audio and without a callback."""
    job = accepted(store, request_id, callback_url=None).job
    RedisArtifacts(store.redis, job.id, 3600).save("audio", b"x" * 10_000)
    advance_to(store, STAGES[-2], request_id)
    claim = claimed(store, request_id, Stage.IDEAS)

    assert store.succeed(claim, OUTPUTS[Stage.IDEAS], {})
