"""When things are tried again: the contract's time table, and the policies of the stages."""

from __future__ import annotations

import pytest

from coop.backoff import DELIVERY_DELAYS_SECONDS, RetryPolicy, delivery_delay_seconds
from coop.errors import JobError
from coop.jobs import Stage
from workers.pipeline import STAGES

MINUTE, HOUR = 60, 3600


def test_callbacks_follow_the_time_table_of_the_contract() -> None:
    assert (
        *(5, 30, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE),
        *(HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 8 * HOUR),
    ) == DELIVERY_DELAYS_SECONDS


@pytest.mark.parametrize(("tries", "wait"), list(enumerate(DELIVERY_DELAYS_SECONDS, start=1)))
def test_a_callback_waits_for_its_time_give_or_take_a_tenth(tries: int, wait: float) -> None:
    waits = [delivery_delay_seconds(tries) for _ in range(50)]

    assert all(each is not None and 0.9 * wait <= each <= 1.1 * wait for each in waits)
    assert len(set(waits)) > 1


def test_after_the_last_of_the_time_table_a_callback_is_given_up() -> None:
    assert delivery_delay_seconds(len(DELIVERY_DELAYS_SECONDS)) is not None
    assert delivery_delay_seconds(len(DELIVERY_DELAYS_SECONDS) + 1) is None


def test_a_receiver_that_asks_for_time_gets_it() -> None:
    assert delivery_delay_seconds(1, retry_after=900) == 900


def test_the_wait_doubles_up_to_its_bound_and_is_never_less_than_half() -> None:
    policy = RetryPolicy(attempts=10, first_seconds=2, most_seconds=60)

    for failures, most in ((1, 2), (2, 4), (3, 8), (6, 60), (9, 60)):
        wait = policy.delay_seconds(failures)
        assert wait is not None
        assert most / 2 <= wait <= most


def test_a_stage_is_tried_no_more_often_than_its_policy_says() -> None:
    policy = RetryPolicy(attempts=3, first_seconds=1, most_seconds=1)

    assert [policy.delay_seconds(failures) is None for failures in (1, 2, 3, 4)] == [False, False, True, True]


@pytest.mark.parametrize("spec", STAGES, ids=lambda spec: spec.name)
def test_every_stage_tries_a_passing_error_four_times_and_a_permanent_one_once(spec) -> None:
    passing, permanent = JobError("source_error"), JobError("no_audio")

    assert [spec.delay_seconds(passing, failures) is None for failures in (1, 2, 3, 4)] == [False, False, False, True]
    assert spec.delay_seconds(permanent, 1) is None


@pytest.mark.parametrize("spec", STAGES, ids=lambda spec: spec.name)
def test_a_stage_that_used_up_its_deadline_gets_one_more(spec) -> None:
    error = JobError("timed_out")

    assert [spec.delay_seconds(error, failures) is None for failures in (1, 2)] == [False, True]


@pytest.mark.parametrize("stage", [Stage.METADATA, Stage.DOWNLOAD])
def test_a_site_that_limits_us_is_left_alone_for_half_a_minute_and_for_what_it_asks(stage: Stage) -> None:
    spec = next(spec for spec in STAGES if spec.name is stage)

    assert (spec.delay_seconds(JobError("source_rate_limited"), 1) or 0) >= 30
    assert spec.delay_seconds(JobError("source_rate_limited", retry_after=3600), 1) == 3600
