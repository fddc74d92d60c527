"""Content ideas by rules: key phrases of the video put into well-worn forms of short videos, in English."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from coop.results import Idea, Tone
from workers.engines.analyzer.judgement import NO_NICHE
from workers.engines.analyzer.outline import number_lines
from workers.engines.analyzer.subject import Subject

MAX_TOPICS = 4
_MAX_TOPIC_CHARS = 32
_MIN_TOPIC_CHARS = 3
_KEY_PHRASES = 30
# Of what a phrase consists and in what it ends, by the tags of the Penn Treebank: "cheap power", not "absolutely stay".
_WITHIN_PHRASE, _END_OF_PHRASE = ("NN", "JJ", "VBG", "CD"), ("NN",)
# What every video is about, and so none.
_EMPTY_WORDS = re.compile(
    r"\b("
    r"bit|channel|day|end|everybody|everyone|everything|fifth|guy|hour|kind|lot|minute|"
    r"mistake|month|morning|night|number|one|part|people|person|place|problem|question|reason|"
    r"second|side|something|stuff|thing|time|tip|today|tomorrow|video|way|week|world|year|"
    r"yesterday"
    r")s?\b"
)
# What ideas are about where nothing is known.
_ANY_TOPIC = "everyday life"


class _Form(BaseModel):
    """A form of short video. `{topic}` stands for what it is about; its sentences hold for one thing and for many."""

    title: str
    hook: str
    steps: tuple[str, ...]
    seconds: int
    tone: Tone


def suggest(subject: Subject, niche: str) -> list[Idea]:
    """Every form about every topic, the topics in turn, so that the first ones differ in form and topic."""
    topics = topics_of(subject) or [_ANY_TOPIC if niche == NO_NICHE else niche]
    return list(_combine(topics))


def topics_of(subject: Subject) -> list[str]:
    """What the video is about, most telling first: at most MAX_TOPICS phrases of one or two words."""
    language = (subject.language or "en").split("-")[0].lower()
    spoken = subject.transcript or subject.description
    text = f"{subject.title}. {spoken}"
    if language == "en":
        tags = _parts_of_speech(text)
        phrases = [phrase for phrase in _key_phrases(text, language, words=2) if _is_noun_phrase(phrase, tags)]
        phrases = [_natural_case(phrase, spoken) for phrase in _whole_phrases(phrases)]
    else:
        phrases = _key_phrases(text, language, words=1)  # what is a phrase cannot be told without its grammar
    return _distinct([*phrases, *subject.tags])[:MAX_TOPICS]


def _combine(topics: list[str]) -> Iterator[Idea]:
    for turn in range(len(topics)):
        for number, form in enumerate(_forms()):
            topic = topics[(number + turn) % len(topics)]
            yield Idea(
                title=_fill(form.title, topic),
                hook=_fill(form.hook, topic),
                outline=number_lines(_fill(step, topic) for step in form.steps),
                suggested_length=form.seconds,
                tone=form.tone,
            )


@functools.cache
def _forms() -> tuple[_Form, ...]:
    content = Path(__file__).with_name("idea_forms.json").read_bytes()
    return TypeAdapter(tuple[_Form, ...]).validate_json(content)


def _fill(form: str, topic: str) -> str:
    return form.replace("{topic}", topic).replace("{Topic}", topic[:1].upper() + topic[1:])


def _key_phrases(text: str, language: str, *, words: int) -> list[str]:
    import yake  # most of a second and 40 MiB

    extractor = yake.KeywordExtractor(lan=language, n=words, dedupLim=0.95, top=_KEY_PHRASES)
    return [str(phrase) for phrase, _ in extractor.extract_keywords(text)]


def _parts_of_speech(text: str) -> dict[str, str]:
    """The tag of each word of an English text, by textblob's lexicon."""
    from textblob.taggers import PatternTagger  # most of a second and 45 MiB, for nltk comes along

    return {str(word).lower(): str(tag) for word, tag in PatternTagger().tag(text)}


def _is_noun_phrase(phrase: str, tags: dict[str, str]) -> bool:
    words = phrase.lower().split()
    kinds = [tags.get(word, "") for word in words]
    return (
        not _EMPTY_WORDS.search(phrase.lower())
        and all(kind.startswith(_WITHIN_PHRASE) for kind in kinds)
        and kinds[-1].startswith(_END_OF_PHRASE)
    )


def _whole_phrases(phrases: list[str]) -> list[str]:
    """The same, with each single word replaced by the best phrase that it is a part of."""
    pairs = [phrase for phrase in phrases if " " in phrase]
    return [next((pair for pair in pairs if phrase.lower() in pair.lower().split()), phrase) for phrase in phrases]


def _natural_case(phrase: str, spoken: str) -> str:
    """The phrase in small letters, but for names: words that are capitalised within a spoken sentence."""
    return " ".join(word if _is_name(word, spoken) else word.lower() for word in phrase.split())


def _is_name(word: str, spoken: str) -> bool:
    return word[1:] != word[1:].lower() or re.search(rf"([a-z,]|Mrs?\.|Dr\.) {re.escape(word)}\b", spoken) is not None


def _distinct(phrases: list[str]) -> list[str]:
    """The phrases that fit into a title and share no word with one before them."""
    kept: list[str] = []
    used: set[str] = set()
    for phrase in phrases:
        topic = " ".join(re.sub(r"[^\w\s'&+.-]", " ", phrase).split())
        words = {word.rstrip("s") for word in topic.lower().split()}
        fits = _MIN_TOPIC_CHARS <= len(topic) <= _MAX_TOPIC_CHARS and any(char.isalpha() for char in topic)
        if fits and used.isdisjoint(words):
            kept.append(topic)
            used |= words
    return kept
