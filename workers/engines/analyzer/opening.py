"""The words with which a transcript opens, and whether a hook is among them."""

from __future__ import annotations

import re

import sentencex

MAX_HOOK_WORDS = 40
# Forty words of any language; what is longer is no word.
MAX_HOOK_CHARS = 400
# A hook may follow a greeting or a cough, but it is no hook further in.
_MAX_WORDS_BEFORE = 12
# "Hey." or "Listen up." alone says nothing: the next sentence belongs to it.
_MIN_HOOK_WORDS = 4
_CLOSING_MARKS = "?!.,…\"'”’»)。！？"


def quote_from_opening(hook: str, transcript: str) -> str | None:
    """The transcript's own words where `hook` stands at or near its beginning; None where it does not.

    Case, spacing and punctuation do not count. A hook that is longer than a hook can be is none.
    """
    wanted = "".join(char for char, _ in _letters(hook))
    letters = _letters(transcript)
    heard = "".join(char for char, _ in letters)
    at = heard.find(wanted) if wanted else -1
    if at < 0 or len(hook.split()) > MAX_HOOK_WORDS or len(hook) > MAX_HOOK_CHARS:
        return None
    start, end = letters[at][1], letters[at + len(wanted) - 1][1] + 1
    if len(transcript[:start].split()) > _MAX_WORDS_BEFORE or _splits_a_word(transcript, start, end):
        return None
    while end < len(transcript) and transcript[end] in _CLOSING_MARKS:
        end += 1
    return transcript[start:end].rstrip(",")


def first_sentence(transcript: str, language: str | None) -> str:
    """The first sentence, with the next where it is very short; cut after MAX_HOOK_WORDS words."""
    opening = ""
    for sentence in sentencex.segment(language or "en", transcript):
        opening += sentence
        if len(opening.split()) >= _MIN_HOOK_WORDS:
            break
    words = list(re.finditer(r"\S+", opening))[:MAX_HOOK_WORDS]
    return opening[words[0].start() : words[-1].end()][:MAX_HOOK_CHARS] if words else ""


def _letters(text: str) -> list[tuple[str, int]]:
    """The letters and digits of a text, case folded, each with its place."""
    return [(folded, at) for at, char in enumerate(text) for folded in char.casefold() if folded.isalnum()]


def _splits_a_word(text: str, start: int, end: int) -> bool:
    return _joins(text, start) or _joins(text, end)


def _joins(text: str, at: int) -> bool:
    """Whether a word runs over the place `at`. Words of scripts without spaces cannot be told, and never do."""
    return 0 < at < len(text) and all(char.isalnum() and char < "\u0e00" for char in text[at - 1 : at + 1])
