"""The fleet on paper: what 10,000 to 1,000,000 videos a day ask of each part, and a simulation of the busiest hour.

`python -m tests.benchmarks.scaling_model` prints the tables of docs/scaling.md. The costs are measured ones
(docs/benchmarks.md); change them to yours.
"""

from __future__ import annotations

import heapq
import math
import random
import sys
from collections import deque
from dataclasses import dataclass

from tests.benchmarks.figures import median, quantile
from tests.benchmarks.stand_ins import REAL_DAY, SPREAD

STAGES = tuple(REAL_DAY)
_DAY_SECONDS = 86_400
_MINUTES_OF_THE_BUSIEST = 20


@dataclass(frozen=True)
class Costs:
    """What one video takes of each part. CPU in seconds of one core, sizes in bytes."""

    worker_cpu: float = 0.28
    gateway_cpu: float = 0.0025
    redis_cpu: float = 0.010
    audio_bytes: int = 250_000
    record_bytes: int = 12_000
    waiting_bytes: int = 4_000
    media_bytes: int = 400_000
    aof_bytes: int = 600_000


@dataclass(frozen=True)
class Day:
    """`peak`: the busiest hour over the mean one."""

    videos: int
    peak: float = 3.0
    retention_days: float = 7.0

    @property
    def peak_per_second(self) -> float:
        return self.videos * self.peak / _DAY_SECONDS


@dataclass(frozen=True)
class Need:
    """What a day asks for in its busiest hour."""

    slots: int
    worker_machines: int
    gateway_cores: float
    redis_cores: float
    redis_megabits: float
    redis_gib: float
    source_megabits: float
    aof_megabytes: float


SECONDS_A_VIDEO = sum(REAL_DAY.values())
# Of a machine's two cores, what may be in use at the peak; above that stages wait for each other.
_USABLE_CORES = 1.4
_HEADROOM = 1.15
# One worker process is one Python interpreter; with more they wait for its lock.
_MOST_SLOTS = 170


def need_of(day: Day, costs: Costs = Costs()) -> Need:  # it is frozen
    rate = day.peak_per_second
    slots = math.ceil(rate * SECONDS_A_VIDEO * _HEADROOM)
    kept = day.videos * day.retention_days * costs.record_bytes
    # Audio lies in Redis from the end of its download until its job ends.
    audio = rate * (REAL_DAY["transcribe"] + REAL_DAY["analyze"] + REAL_DAY["ideas"]) * costs.audio_bytes
    return Need(
        slots=slots,
        worker_machines=math.ceil(max(rate * costs.worker_cpu / _USABLE_CORES, slots / _MOST_SLOTS)),
        gateway_cores=rate * costs.gateway_cpu,
        redis_cores=rate * costs.redis_cpu,
        redis_megabits=rate * 2 * (costs.audio_bytes + 4 * costs.record_bytes) * 8 / 1e6,
        redis_gib=(kept + audio) / 2**30,
        source_megabits=rate * costs.media_bytes * 8 / 1e6,
        aof_megabytes=rate * costs.aof_bytes / 1e6,
    )


@dataclass(frozen=True)
class Simulated:
    """Seconds from acceptance to delivery; the most jobs that waited at once."""

    p50: float
    p95: float
    most_waiting: int


def simulate(day: Day, slots: int, minutes: float = _MINUTES_OF_THE_BUSIEST, seed: int = 1) -> Simulated:
    """The busiest minutes: arrivals by chance, delays ± 30 %, one pool of slots, later stages first."""
    chance = random.Random(seed)  # a simulation
    waiting: list[deque[float]] = [deque() for _ in STAGES]
    ends: list[tuple[float, int, float]] = []
    times: list[float] = []
    free, most, now = slots, 0, 0.0
    next_arrival, last_arrival = chance.expovariate(day.peak_per_second), minutes * 60
    while next_arrival < last_arrival or ends:
        if next_arrival < last_arrival and (not ends or next_arrival < ends[0][0]):
            now = next_arrival
            waiting[0].append(now)
            next_arrival = now + chance.expovariate(day.peak_per_second)
        else:
            now, stage, accepted = heapq.heappop(ends)
            free += 1
            if stage + 1 < len(STAGES):
                waiting[stage + 1].append(accepted)
            else:
                times.append(now - accepted)
        for stage in reversed(range(len(STAGES))):
            while free and waiting[stage]:
                free -= 1
                delay = REAL_DAY[STAGES[stage]] * chance.uniform(1 - SPREAD, 1 + SPREAD)
                heapq.heappush(ends, (now + delay, stage, waiting[stage].popleft()))
        most = max(most, sum(map(len, waiting)))
    return Simulated(median(times), quantile(times, 0.95), most)


_NEEDS = (
    "| videos a day | at the peak | slots | 2-core workers | gateway cores | Redis cores | Redis' line |"
    " Redis' memory | written to disk | from the sites |"
)


def main() -> None:
    lines = [
        _NEEDS,
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for videos in (10_000, 100_000, 1_000_000):
        day = Day(videos)
        need = need_of(day)
        lines.append(
            f"| {videos:,} | {day.peak_per_second:.2f}/s | {need.slots} | {need.worker_machines} |"
            f" {need.gateway_cores:.3f} | {need.redis_cores:.3f} | {need.redis_megabits:.0f} Mbit/s |"
            f" {need.redis_gib:.1f} GiB | {need.aof_megabytes:.1f} MB/s | {need.source_megabits:.0f} Mbit/s |"
        )
    lines += ["", "| videos a day | slots | to the callback, p50 | p95 | most waiting |", "|---:|---:|---:|---:|---:|"]
    for videos in (10_000, 100_000, 1_000_000):
        day = Day(videos)
        for share in (1.0, 1.15, 1.4):
            slots = math.ceil(day.peak_per_second * SECONDS_A_VIDEO * share)
            seen = simulate(day, slots)
            lines.append(f"| {videos:,} | {slots} | {seen.p50:.0f} s | {seen.p95:.0f} s | {seen.most_waiting} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
