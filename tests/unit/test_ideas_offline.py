"""Rules have ideas that are different, sensible and about the video."""

import itertools

import pytest

from coop.results import Tone
from workers.engines.analyzer.offline_ideas import MAX_TOPICS, suggest, topics_of
from workers.engines.analyzer.subject import Subject
from workers.stages.ideas import are_alike

PASTA = (
    "Today we make garlic pasta. Boil the pasta, melt butter in a pan, add garlic. Garlic pasta is done when the sauce"
    " is thick."
)


@pytest.mark.parametrize(
    "subject",
    [
        Subject(transcript=PASTA, language="en"),
        Subject(transcript="Ein Netzteil versorgt den Computer. Das Netzteil ist wichtig.", language="de"),
        Subject(title="Relaxing rain"),
        Subject(),
        Subject(transcript="Um. Uh."),
        Subject(title="<script>alert(1)</script> {topic} $(id)", tags=("{Topic}",)),
    ],
    ids=["english", "german", "title only", "nothing", "mumbling", "hostile"],
)
def test_ten_ideas_are_found_for_any_video_and_all_differ(subject):
    ideas = suggest(subject, "general")[:10]

    assert len(ideas) == 10
    assert not any(are_alike(one.title, other.title) for one, other in itertools.combinations(ideas, 2))
    for idea in ideas:
        assert "{" not in idea.title + idea.hook + idea.outline
        assert idea.outline.startswith("1. ")
        assert 10 <= idea.suggested_length <= 180
        assert idea.tone in list(Tone)


def test_topics_are_noun_phrases_of_the_speech():
    topics = topics_of(Subject(transcript=PASTA, language="en"))

    assert topics[0] == "garlic pasta"
    assert len(topics) <= MAX_TOPICS
    assert {"today", "boil", "thick"}.isdisjoint(topics)


def test_names_keep_their_capitals():
    topics = topics_of(Subject(transcript="And so John Dashwood left. Then John Dashwood came back.", language="en"))

    assert topics[0] == "John Dashwood"


def test_without_topics_the_niche_is_the_topic():
    assert suggest(Subject(), "food")[0].title.startswith("Food")


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Quiet fans", "QUIET FANS!", True),
        ("Fans, quiet", "Quiet fans", True),
        ("3 mistakes with quiet fans", "3 mistakes with quiet fan", True),
        ("Quiet fans", "Loud speakers", False),
        ("Dust explained", "Dust: the checklist", False),
        ("好的电源", "坏的显卡", False),
    ],
)
def test_titles_are_alike_whatever_their_case_order_and_marks(one, other, alike):
    assert are_alike(one, other) is alike
