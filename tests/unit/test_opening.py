"""A hook stands in the transcript, at its beginning, in the transcript's own words."""

import pytest

from workers.engines.analyzer.opening import MAX_HOOK_WORDS, first_sentence, quote_from_opening

SPOKEN = "Hey. What's the one thing PC builders should stay away from? Cheap power supplies. They fry boards."


@pytest.mark.parametrize(
    ("hook", "quote"),
    [
        ("What's the one thing PC builders should stay away from?", None),
        ("what’s  the one thing pc builders should stay away from", None),
        ("WHATS THE ONE THING PC BUILDERS SHOULD STAY AWAY FROM!!!", None),
        ("What's the one thing", "What's the one thing"),
        ("Hey.", "Hey."),
    ],
)
def test_a_hook_is_given_back_as_the_transcript_has_it(hook, quote):
    expected = quote or "What's the one thing PC builders should stay away from?"

    assert quote_from_opening(hook, SPOKEN) == expected


@pytest.mark.parametrize(
    "hook",
    [
        "",
        "?!",
        "Builders, beware of this one thing",
        "They fry boards.",
        "at's the one thing",
        "What's the one thi",
        " ".join(["what"] * (MAX_HOOK_WORDS + 1)),
    ],
    ids=["empty", "no letter", "made up", "from the end", "begins in a word", "ends in a word", "too long"],
)
def test_what_does_not_stand_at_the_beginning_is_no_hook(hook):
    assert quote_from_opening(hook, SPOKEN) is None


def test_a_hook_in_a_script_without_spaces_is_found():
    assert quote_from_opening("你知道吗", "你知道吗？电源很重要。") == "你知道吗？"


def test_the_first_sentence_is_the_opening():
    assert first_sentence("Stay away from cheap power. It kills.", "en") == "Stay away from cheap power."


def test_a_very_short_first_sentence_takes_the_next_along():
    assert first_sentence(SPOKEN, "en") == "Hey. What's the one thing PC builders should stay away from?"


def test_an_opening_without_end_is_cut():
    opening = first_sentence("word " * 500, "en")

    assert len(opening.split()) == MAX_HOOK_WORDS


@pytest.mark.parametrize("text", [SPOKEN, "you ", "Dr. Smith said no. And then yes.", "¿Qué? Nada."])
def test_the_opening_stands_in_the_transcript(text):
    assert text.startswith(first_sentence(text, None))


def test_of_nothing_the_opening_is_nothing():
    assert first_sentence("", "en") == ""
