"""Retry-After, which strangers write: always a wait that can be waited, or none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from coop.backoff import retry_after_seconds

NOW = datetime(2026, 10, 21, 8, tzinfo=UTC).timestamp()
DAY = 86_400


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        (" 120 ", 120),
        ("2.5", 2.5),
        ("86401", DAY),
        ("9" * 400, DAY),
        ("Wed, 21 Oct 2026 08:01:00 GMT", 60),
        ("Wed, 21 Oct 2026 08:01:00 -0000", 60),
        ("Wed, 21 Oct 2026 08:01:00", 60),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", DAY),
    ],
)
def test_a_number_or_a_date_is_a_wait_of_at_most_a_day(header: str, seconds: float) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@pytest.mark.parametrize(
    "header",
    [None, "", "soon", "nan", "inf", "-inf", "1e999", "-3", "+3", "\u0663", "0x10", "Wed, 99 Oct 2026 08:01:00 GMT"],
)
def test_nonsense_is_no_wait(header: str | None) -> None:
    assert retry_after_seconds(header, NOW) is None
