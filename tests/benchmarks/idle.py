"""What the parts take while nothing is asked of them."""

from __future__ import annotations

import time

from tests.benchmarks import rig, stand_ins
from tests.benchmarks.figures import Figure
from tests.benchmarks.machine import cpu_seconds, memory_bytes

_SECONDS = 60.0


def run(quick: bool = False) -> list[Figure]:
    seconds = 15.0 if quick else _SECONDS
    figures = []
    with rig.running(stand_ins.NONE) as bench:
        bench.start_worker("bench", slots=4)
        time.sleep(5)
        parts = {"worker": bench.worker_pids, "gateway": [bench.gateway_pid], "Redis": [bench.redis_pid]}
        cpu = {name: cpu_seconds(*pids) for name, pids in parts.items()}
        time.sleep(seconds)
        for name, pids in parts.items():
            used = (cpu_seconds(*pids) - cpu[name]) / seconds * 100
            is_held = name != "Redis"
            figures.append(Figure(f"idle {name}: CPU", used, "% of a core", at_most=1 if is_held else None))
            held = memory_bytes(*pids) / 1e6
            figures.append(Figure(f"idle {name}: memory", held, "MB", at_most=150 if is_held else None))
    return figures
