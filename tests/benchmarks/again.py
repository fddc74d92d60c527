"""Benchmark 7: the same video again, with the same engines and options."""

from __future__ import annotations

from tests.benchmarks import rig, stand_ins
from tests.benchmarks.figures import Figure, median, quantile
from tests.benchmarks.one_video import one_at_a_time

_TIMES = 20


def run(quick: bool = False) -> list[Figure]:
    times = 5 if quick else _TIMES
    with rig.running(stand_ins.NONE) as bench:
        bench.start_worker("bench", slots=4)
        page = bench.stand_ins.page("same")
        one_at_a_time(bench, "warm")
        first = one_at_a_time(bench, "first", page)
        again = [one_at_a_time(bench, f"again-{number}", page) for number in range(times)]
        paid = bench.gateway.job("first")["result"]["cost"]["usd"]
        costs = [bench.gateway.job(f"again-{number}")["result"]["cost"]["usd"] for number in range(times)]
    return [
        Figure("the first time, from POST to callback", first * 1000, "ms"),
        Figure("again, median", median(again) * 1000, "ms", at_most=100),
        Figure("again, p95", quantile(again, 0.95) * 1000, "ms"),
        Figure("cost of the first time", paid, "USD"),
        Figure("cost of each time after", max(costs), "USD", at_most=0),
    ]
