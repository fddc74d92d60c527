"""Benchmark 2: videos per hour at the delays of a real day, for as long as it takes to be sure of it.

Videos are submitted at a steady pace, a little above the target, so that what counts is what is delivered. The plain
script does the same videos one after another and in a pool of threads.
"""

from __future__ import annotations

import resource
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.benchmarks import rig, stand_ins
from tests.benchmarks.figures import Figure, median
from tests.benchmarks.machine import PeakMemory, cpu_seconds
from tests.benchmarks.plain_script import PlainScript
from tests.benchmarks.rig import Rig, stage_seconds
from tests.benchmarks.stand_ins import REAL_DAY, StandIns

SLOTS = 140
VIDEOS_AN_HOUR = 10_500
_SECONDS = 300.0
# The first videos take about 40 s to come through; the measurement begins when the pipeline is full.
_FILL_SECONDS = 60.0
_POOL_THREADS = 40


def run(quick: bool = False) -> list[Figure]:
    seconds = 60.0 if quick else _SECONDS
    with rig.running(REAL_DAY) as bench:
        worker = bench.start_worker("bench", slots=SLOTS)
        assert worker.process
        stop = threading.Event()
        callers = threading.Thread(target=_submit_steadily, args=(bench, stop))
        callers.start()
        time.sleep(_FILL_SECONDS)
        with PeakMemory(worker.process.pid) as memory:
            began, cpu = time.time(), _cpu(bench)
            time.sleep(seconds)
            ended, cpu_after = time.time(), _cpu(bench)
        stop.set()
        callers.join()
        names = [name for name, moment in bench.stand_ins.seen().items() if began <= moment < ended]
        stages = _stages(bench, names[-200:])
        waited = bench.redis.zcard("coop:jobs:all:queued")
    done = len(names)
    figures = [
        Figure("videos per hour", done * 3600 / (ended - began), "", at_least=10_000),
        Figure("CPU of worker, gateway and Redis per video", sum(cpu_after[n] - cpu[n] for n in cpu) / done, "s", 0.35),
        *(Figure(f"CPU of the {name} per video", (cpu_after[name] - cpu[name]) / done, "s") for name in cpu),
        Figure("peak memory of the worker, all its processes", memory.peak_bytes / 2**30, "GiB", at_most=2.5 / 1.0737),
        Figure("jobs that wait for their first stage at the end", waited, ""),
    ]
    for stage, delay in REAL_DAY.items():
        ratio = median([each[stage] for each in stages if stage in each]) / delay
        figures.append(Figure(f"{stage}: median over its delay", ratio, "×", at_most=1.2))
    return figures + _plain(seconds)


def _submit_steadily(bench: Rig, stop: threading.Event) -> None:
    began, number = time.monotonic(), 0
    while not stop.is_set():
        bench.submit(f"v{number}")
        number += 1
        stop.wait(max(0.0, began + number * 3600 / VIDEOS_AN_HOUR - time.monotonic()))


def _cpu(bench: Rig) -> dict[str, float]:
    return {
        "worker": cpu_seconds(*bench.worker_pids),
        "gateway": cpu_seconds(bench.gateway_pid),
        "Redis": cpu_seconds(bench.redis_pid),
    }


def _stages(bench: Rig, names: list[str]) -> list[dict[str, float]]:
    return [stage_seconds(bench.gateway.job(name)) for name in names]


def _plain(seconds: float) -> list[Figure]:
    figures = []
    with stand_ins.running(REAL_DAY) as others:
        for label, threads in (("one after another", 1), (f"in {_POOL_THREADS} threads", _POOL_THREADS)):
            done, took, cpu = _run_plain(others, threads, min(seconds, 120.0))
            figures.append(Figure(f"plain script {label}: videos per hour", done * 3600 / took, ""))
            figures.append(Figure(f"plain script {label}: CPU per video", cpu / max(done, 1), "s"))
    return figures


def _run_plain(others: StandIns, threads: int, seconds: float) -> tuple[int, float, float]:
    """Videos done, in how many seconds, with how much CPU."""
    script = PlainScript.on(others)
    began, cpu = time.monotonic(), _own_cpu()
    end = began + seconds

    def work(thread: int) -> int:
        done = 0
        while time.monotonic() < end:
            script.run(f"p{threads}-{thread}-{done}")
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(work, range(threads)))
    return done, time.monotonic() - began, _own_cpu() - cpu


def _own_cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
