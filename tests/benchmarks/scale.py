"""Benchmark 5: 1, 2, 4 and 8 worker processes; videos per hour and worker, when stages only wait."""

from __future__ import annotations

import time

from coop.job_store import JobStore
from coop.queue import first_message
from tests.benchmarks import rig, stand_ins
from tests.benchmarks.figures import Figure
from tests.benchmarks.machine import cpu_seconds
from tests.benchmarks.rig import Rig
from tests.support.jobs import new_job, settings_of

_SLOTS = 4
# Of a real day's delays a quarter, so that a worker with four slots does some 1,500 videos an hour.
_STAGE_SECONDS = {"metadata": 0.6, "download": 2.0, "transcribe": 3.75, "analyze": 1.25, "ideas": 1.75}
_URL = "https://stub/?" + "&".join(f"{stage}.seconds={seconds}" for stage, seconds in _STAGE_SECONDS.items())
_APP = "tests.support.stub_worker"


def run(quick: bool = False) -> list[Figure]:
    rounds = 3 if quick else 10
    speeds = {}
    figures = []
    for workers in (1, 2, 4, 8):
        speeds[workers], cpu = _videos_per_hour(workers, rounds)
        figures.append(Figure(f"{workers} workers: videos per hour and worker", speeds[workers] / workers, ""))
        figures.append(Figure(f"{workers} workers: CPU of Redis and workers per video", cpu * 1000, "ms"))
    figures.append(Figure("8 workers of 8 times one", speeds[8] / speeds[1] / 8, "×", at_least=0.95))
    return figures


def _videos_per_hour(workers: int, rounds: int) -> tuple[float, float]:
    """Videos per hour of all, and CPU seconds of Redis and the workers per video."""
    with rig.running(stand_ins.NONE) as bench:
        for number in range(workers):
            # Without the cache: it is one video all the time.
            bench.start_worker(f"w{number}", slots=_SLOTS, app=_APP, cache_days="0")
        store = JobStore(bench.redis, settings_of(bench.redis_server.url))
        videos = workers * _SLOTS * rounds
        began, cpu = time.monotonic(), cpu_seconds(bench.redis_pid, *bench.worker_pids)
        for number in range(videos):
            new = new_job(f"r{number}", video_url=_URL, callback_url=None)
            store.accept(new, first_message(new))
        _wait_for(bench, videos)
        took = time.monotonic() - began
        used = cpu_seconds(bench.redis_pid, *bench.worker_pids) - cpu
    return videos * 3600 / took, used / videos


def _wait_for(bench: Rig, videos: int) -> None:
    while bench.redis.zcard("coop:jobs:all:succeeded") < videos:
        time.sleep(0.05)
