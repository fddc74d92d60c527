"""Analysis by rules: cue words over the transcript and what the site says. No model, and it does not pretend to be one.

Sentences come from sentencex, sentiment from textblob's lexicon (English), cue words from `cues.json` and
`niches.json`. For speech in other languages question marks, digits and quotation marks still tell something; where
nothing does, it is a `statement`, a `monologue`, `neutral`.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import sentencex

from coop.results import Emotion, EntryStyle, Structure
from workers.engines.analyzer.judgement import NO_NICHE, Judgement
from workers.engines.analyzer.opening import first_sentence
from workers.engines.analyzer.subject import Subject

# One cue may be chance.
_MIN_CUES = 2
# textblob's scale is -1 to 1; beyond these a text is plainly glad or plainly gloomy.
_GLAD, _GLOOMY = 0.45, -0.35
# From this many words on a text without a strong feeling is there to inform.
_MIN_INFORMATIVE_WORDS = 15

# Title and tags say in few words what a video is about.
_TITLE_WEIGHT = 3

Value = TypeVar("Value")


def judge(subject: Subject) -> Judgement:
    niche, emotion = _niche_of(subject), _emotion_of(subject)
    if not subject.transcript:
        return Judgement("", EntryStyle.NO_SPEECH, niche, Structure.NO_SPEECH, emotion)
    hook = first_sentence(subject.transcript, subject.language)
    return Judgement(hook, _entry_style_of(hook), niche, _structure_of(subject), emotion)


def niche_names() -> tuple[str, ...]:
    """The niches that have cue words; a video of none of them takes the site's category, else its first tag."""
    return tuple(_niches())


def _entry_style_of(hook: str) -> EntryStyle:
    """The first style, in the order of the cues, that the opening shows."""
    opening = _plain(hook)
    styles = (EntryStyle(name) for name, cue in _cues("entry_styles").items() if cue.search(opening))
    return next(styles, EntryStyle.STATEMENT)


def _structure_of(subject: Subject) -> Structure:
    text = _plain(subject.transcript)
    sentences = list(sentencex.segment(subject.language or "en", text))
    scores = {Structure(name): len(cue.findall(text)) for name, cue in _cues("structures").items()}
    # An opening question that the rest answers shapes a video as much as two cues do.
    opens_with_question = len(sentences) > 2 and "?" in sentences[0]
    scores[Structure.QUESTION_ANSWER] = sum("?" in sentence for sentence in sentences) + opens_with_question
    return _highest(scores, at_least=_MIN_CUES) or Structure.MONOLOGUE


def _emotion_of(subject: Subject) -> Emotion:
    text = _plain(f"{subject.title}. {subject.transcript or subject.description}")
    scores = {Emotion(name): len(cue.findall(text)) for name, cue in _cues("emotions").items()}
    strongest = _highest(scores, at_least=_MIN_CUES)
    if strongest is not None:
        return strongest
    polarity = _polarity(text) if _is_english(subject.language) else 0.0
    if polarity >= _GLAD:
        return Emotion.EXCITED
    if polarity <= _GLOOMY:
        return Emotion.SERIOUS
    tells_something = _is_english(subject.language) and len(subject.transcript.split()) >= _MIN_INFORMATIVE_WORDS
    return Emotion.INFORMATIVE if tells_something else Emotion.NEUTRAL


def _niche_of(subject: Subject) -> str:
    loud = _plain(" ".join((subject.title, *subject.tags, *subject.categories)))
    quiet = _plain(f"{subject.description} {subject.transcript}")
    scores = {
        niche: _TITLE_WEIGHT * len(cue.findall(loud)) + len(cue.findall(quiet)) for niche, cue in _niches().items()
    }
    best = _highest(scores, at_least=_MIN_CUES)
    return best or next(iter((*subject.categories, *subject.tags)), NO_NICHE).lower()


@functools.cache
def _niches() -> dict[str, re.Pattern[str]]:
    """For each niche what finds its cue words, in singular and plural."""
    table: dict[str, list[str]] = _read("niches.json")
    return {niche: re.compile(rf"\b(?:{'|'.join(map(re.escape, cues))})(?:s|es)?\b") for niche, cues in table.items()}


@functools.cache
def _cues(kind: str) -> dict[str, re.Pattern[str]]:
    """For each value of `kind` what finds its cues in lower-case text, in the order in which they are asked."""
    table: dict[str, list[str]] = _read("cues.json")[kind]
    return {value: re.compile("|".join(cues)) for value, cues in table.items()}


def _read(name: str) -> Any:
    return json.loads(Path(__file__).with_name(name).read_bytes())


def _highest(scores: Mapping[Value, int], at_least: int) -> Value | None:
    """The first of the highest scores; None where all are below `at_least`."""
    best = max(scores, key=lambda value: scores[value])
    return best if scores[best] >= at_least else None


def _is_english(language: str | None) -> bool:
    return language is None or language.lower().split("-")[0] == "en"


def _plain(text: str) -> str:
    return text.lower().replace("’", "'")


def _polarity(text: str) -> float:
    from textblob import TextBlob  # most of a second and 45 MiB, for nltk comes along

    return float(TextBlob(text).sentiment.polarity)
