from __future__ import annotations

from api.holds import Holds


def taken_of(holds: Holds) -> int:
    taken = 0
    while holds.take():
        taken += 1
    return taken


def test_a_quarter_of_the_threads_is_never_held() -> None:
    assert taken_of(Holds(threads=320)) == 240


def test_a_place_is_given_back_at_the_end_of_a_hold() -> None:
    holds = Holds(threads=4)
    with holds.hold() as held:
        assert held
    assert taken_of(holds) == 3


def test_a_hold_that_was_not_given_takes_no_place_with_it() -> None:
    holds = Holds(threads=4)
    taken_of(holds)
    with holds.hold() as held:
        assert not held
    holds.give_back()

    assert taken_of(holds) == 1
