"""Benchmark 1: one video on an idle machine; what the service itself adds to its time."""

from __future__ import annotations

import time

from tests.benchmarks import rig, stand_ins
from tests.benchmarks.figures import Figure, median
from tests.benchmarks.machine import cpu_seconds
from tests.benchmarks.plain_script import PlainScript
from tests.benchmarks.redis_traffic import RedisTraffic
from tests.benchmarks.rig import Rig

_VIDEOS = 15


def run(quick: bool = False) -> list[Figure]:
    videos = 5 if quick else _VIDEOS
    with rig.running(stand_ins.NONE) as bench:
        bench.start_worker("bench", slots=4)
        script = PlainScript.on(bench.stand_ins)
        script.run("warm-1")
        one_at_a_time(bench, "warm-2")
        took, alone, shortest, cpu = [], [], [], []
        for number in range(videos):
            began = cpu_seconds(*bench.service_pids)
            took.append(one_at_a_time(bench, f"v{number}"))
            cpu.append(cpu_seconds(*bench.service_pids) - began)
            alone.append(script.run(f"p{number}", checks=True))
            shortest.append(script.run(f"q{number}"))
        with RedisTraffic(bench.redis) as traffic:
            one_at_a_time(bench, "monitored")
    own = (median(took) - median(alone)) * 1000
    return [
        Figure("from POST to callback", median(took) * 1000, "ms"),
        Figure("the same calls in a plain script", median(alone) * 1000, "ms"),
        Figure("own cost of one video", own, "ms", at_most=150),
        Figure("beyond the shortest script", (median(took) - median(shortest)) * 1000, "ms"),
        Figure("CPU of all the service's processes", median(cpu), "s"),
        Figure("Redis commands from clients, BRPOP and leases included", traffic.commands, ""),
    ]


def one_at_a_time(bench: Rig, name: str, page: str | None = None) -> float:
    """Seconds from the POST to the arrival of the callback; `page` is another video's."""
    started = time.time()
    bench.submit(name, page)
    return bench.delivered({name}, 60)[name] - started
