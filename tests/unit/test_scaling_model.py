"""The model of the fleet: what it is asked to say, and what cannot be."""

from __future__ import annotations

import math

from tests.benchmarks.figures import Figure, quantile, table
from tests.benchmarks.scaling_model import SECONDS_A_VIDEO, Day, need_of, simulate


def test_ten_times_the_videos_need_ten_times_the_machines_and_lines() -> None:
    small, large = need_of(Day(100_000)), need_of(Day(1_000_000))

    assert 9.5 < large.slots / small.slots < 10.5
    assert math.isclose(large.redis_cores, 10 * small.redis_cores)


def test_with_room_to_spare_nobody_waits() -> None:
    day = Day(100_000)
    seen = simulate(day, slots=math.ceil(day.peak_per_second * SECONDS_A_VIDEO * 1.5), minutes=5)

    assert 0.9 * SECONDS_A_VIDEO < seen.p50 < 1.1 * SECONDS_A_VIDEO


def test_with_too_few_slots_the_line_grows() -> None:
    day = Day(100_000)
    slots = math.ceil(day.peak_per_second * SECONDS_A_VIDEO)

    assert simulate(day, slots // 2, minutes=5).most_waiting > 10 * simulate(day, slots * 2, minutes=5).most_waiting


def test_a_missed_target_says_so() -> None:
    rows = [
        ("b", Figure("f", 2.0, "s", at_most=1)),
        ("b", Figure("g", 2.0, "s", at_least=1)),
        ("b", Figure("h", 1, "")),
    ]

    assert [figure.verdict for _, figure in rows] == ["missed", "met", ""]
    assert "**missed**" in table(rows)


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]

    assert [quantile(values, share) for share in (0.2, 0.5, 0.95, 1.0)] == [1.0, 3.0, 5.0, 5.0]
    assert math.isnan(quantile([], 0.5))
