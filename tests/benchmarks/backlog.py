"""Benchmark 6: 100,000 jobs wait; what that does to those who come after them."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from coop.job_store import JobStore
from coop.jobs import JobStatus, Priority
from coop.queue import first_message
from tests.benchmarks import load, rig, stand_ins
from tests.benchmarks.figures import Figure, median
from tests.benchmarks.gateway import submissions
from tests.benchmarks.rig import Rig
from tests.support.jobs import new_job, settings_of

_JOBS = 100_000
_CLIENT = "web-prod-01"
# As long as a real one: what a job takes of Redis depends on it.
_URL = "https://www.youtube.com/shorts/dJd3wLG65yc?feature=share"
_CALLBACK = "https://www.example.org/api/video-result"


def run(quick: bool = False) -> list[Figure]:
    jobs = 5_000 if quick else _JOBS
    with rig.running(stand_ins.NONE) as bench:
        port = urlsplit(bench.gateway.base_url).port or 0
        store = JobStore(bench.redis, settings_of(bench.redis_server.url, max_queue="300000"))
        empty = _latencies(bench, store, port)
        memory = _memory(bench)
        # The waiting jobs are made without a disk behind them; what is measured afterwards has it again.
        bench.redis.config_set("appendfsync", "no")
        for number in range(jobs):
            _accept(store, f"req_{1692123456789 + number}")
        bench.redis.config_set("appendfsync", "always")
        used = (_memory(bench) - memory) / jobs
        full = _latencies(bench, store, port)
        bench.start_worker("bench", slots=4, app="tests.support.stub_worker", cache_days="0")
        picked = [_pick_up_seconds(bench, store, number) for number in range(10)]
    figures = [Figure("memory of Redis per waiting job", used / 1024, "KiB", at_most=4.0)]
    for name in empty:
        figures.append(Figure(f"{name}, nothing waits", empty[name], "ms"))
        figures.append(Figure(f"{name}, {jobs:,} wait", full[name], "ms"))
    figures.append(Figure("a `high` job's pick-up by a busy worker, p50", median(picked) * 1000, "ms"))
    figures.append(Figure("a `high` job's pick-up by a busy worker, worst of 10", max(picked) * 1000, "ms", 1000))
    return figures


def _accept(store: JobStore, name: str, priority: Priority = Priority.NORMAL) -> str:
    new = new_job(name, client=_CLIENT, video_url=_URL, callback_url=_CALLBACK, fingerprint="f" * 64, priority=priority)
    return store.accept(new, first_message(new)).job.id


def _memory(bench: Rig) -> int:
    return int(bench.redis.info("memory")["used_memory_dataset"])


def _latencies(bench: Rig, store: JobStore, port: int) -> dict[str, float]:
    """Milliseconds, medians."""
    seen = load.run(port, submissions(bench.gateway, 300), 1, 5)
    return {
        "submit, p50": seen.milliseconds(0.5),
        "list the newest 20": _median_ms(lambda: store.list_jobs(_CLIENT, None, 20, None)),
        "list the queued": _median_ms(lambda: store.list_jobs(None, JobStatus.QUEUED, 20, None)),
        "count all (the census of /metrics)": _median_ms(store.census),
    }


def _median_ms(call: object) -> float:
    assert callable(call)
    took = []
    for _ in range(20):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
    return median(took)


def _pick_up_seconds(bench: Rig, store: JobStore, number: int) -> float:
    """From its acceptance to the start of its first stage."""
    job_id = _accept(store, f"urgent-{number}", Priority.HIGH)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        job = store.get(job_id)
        if job and job.started_at:
            return (job.started_at - job.accepted_at) / 1000
        time.sleep(0.02)
    raise TimeoutError(f"{job_id} was not taken")
