"""The rules find what is plainly there, and say the neutral thing where nothing is."""

import pytest

from workers.engines.analyzer import offline
from workers.engines.analyzer.subject import Subject

POWER = (
    "What's the one thing new PC builders should absolutely stay away from? Cheap power supplies. A bad power supply"
    " can fry your graphics card. Instead, buy one with a gold rating. That fixes the problem for good."
)
PASTA = (
    "Today we're going to make garlic pasta. First, boil the pasta in salted water. Next, melt butter in a pan. Then"
    " add the cream and the cheese. Finally, toss it all in the sauce. It is amazing! Incredible!"
)


def judge(transcript="", **more):
    return offline.judge(Subject(transcript=transcript, language=more.pop("language", "en"), **more))


@pytest.mark.parametrize(
    ("opening", "style"),
    [
        ("Why is your laptop so slow?", "question"),
        ("Hey guys, welcome back to the channel.", "greeting"),
        ("80 percent of people get this wrong.", "statistic"),
        ("Last year I was broke and alone.", "story"),
        ("Watch what happens to this egg now.", "demonstration"),
        ("This is the worst phone ever made.", "bold claim"),
        ("If you drink coffee, listen up now.", "direct address"),
        ("“Less is more”, said my teacher always.", "quote"),
        ("The house stands on a green hill.", "statement"),
        ("Wie baut man einen Computer?", "question"),
    ],
)
def test_the_opening_tells_the_entry_style(opening, style):
    assert judge(opening).entry_style == style


@pytest.mark.parametrize(
    ("transcript", "structure"),
    [
        (POWER, "problem-solution"),
        (PASTA, "step-by-step"),
        ("Three tips for sleep. First, no screens. Second, a dark room. Third, the same hour.", "list"),
        ("What is a black hole? A dead star. How dense is it? Very. Can light escape? Never.", "question-answer"),
        (
            "Is tea better than coffee? Compared with coffee it is cheaper than most. Tea versus coffee, a draw.",
            "comparison",
        ),
        ("I was ten. One day my father left. I remember that night.", "story"),
        ("The wind is cold and the sea is grey.", "monologue"),
    ],
)
def test_cue_words_tell_the_structure(transcript, structure):
    assert judge(transcript).structure == structure


@pytest.mark.parametrize(
    ("transcript", "emotion"),
    [
        (PASTA, "excited"),
        ("A funny joke that made me laugh all day.", "humorous"),
        ("Never give up on your dreams.", "inspiring"),
        ("This house is haunted and I am terrified, such a creepy place.", "fearful"),
        ("Bread is a loaf of flour and water that a baker puts into an oven in the early morning.", "informative"),
        ("Bread.", "neutral"),
        ("Das ist ein ganz normaler Satz über Brot und Wasser und Mehl und viele andere Dinge mehr.", "neutral"),
    ],
)
def test_cue_words_and_sentiment_tell_the_emotion(transcript, emotion):
    language = "de" if transcript.startswith("Das") else "en"

    assert judge(transcript, language=language).emotion == emotion


@pytest.mark.parametrize(
    ("subject", "niche"),
    [
        ({"transcript": POWER}, "technology"),
        ({"transcript": PASTA}, "food"),
        ({"title": "My morning workout at the gym"}, "fitness"),
        ({"title": "Untitled", "categories": ("Howto & Style",), "tags": ("bread",)}, "howto & style"),
        ({"title": "Untitled", "tags": ("Falconry",)}, "falconry"),
        ({}, "general"),
    ],
)
def test_the_niche_comes_from_cue_words_then_from_the_site(subject, niche):
    assert judge(**subject).niche == niche


def test_without_speech_nothing_is_said_of_the_speech():
    judgement = judge(title="Relaxing rain for a calm and peaceful night")

    assert (judgement.hook, judgement.entry_style, judgement.structure) == ("", "no speech", "no speech")
    assert judgement.emotion == "calm"


def test_the_hook_is_the_first_sentence():
    assert judge(POWER).hook == "What's the one thing new PC builders should absolutely stay away from?"
