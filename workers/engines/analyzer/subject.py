"""What is known of the video: the one thing that analyzers are given. Its text comes from strangers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from coop.results import Found, Metadata, Source, Transcript
from workers.engines.plain_text import clean

MAX_TITLE_CHARS = 300
MAX_DESCRIPTION_CHARS = 2_000
MAX_TAGS = 30
MAX_TAG_CHARS = 60
# About 6,000 tokens: a quarter of an hour of speech. Of a longer one the beginning and the end tell the most.
MAX_TRANSCRIPT_CHARS = 24_000
_CUT = " […] "


@dataclass(frozen=True)
class Subject:
    """A video in words, free of control characters and cut to a length that a model can be asked about."""

    title: str = ""
    channel: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    transcript: str = ""
    language: str | None = None

    @classmethod
    def of(cls, found: Found) -> Subject:
        source = found.metadata or Source(metadata=Metadata(), url="", extractor="")
        transcript = found.transcribe or Transcript(engine="none")
        return cls(
            title=clean(source.metadata.title, MAX_TITLE_CHARS),
            channel=clean(source.metadata.channel, MAX_TITLE_CHARS),
            description=clean(source.description, MAX_DESCRIPTION_CHARS),
            tags=_clean_all(source.tags),
            categories=_clean_all(source.categories),
            transcript=_both_ends(clean(transcript.text), MAX_TRANSCRIPT_CHARS),
            language=transcript.language or source.language,
        )

    @property
    def has_words(self) -> bool:
        """Whether there is anything at all to judge by."""
        return any((self.title, self.description, self.tags, self.categories, self.transcript))


def _clean_all(texts: Iterable[str]) -> tuple[str, ...]:
    cleaned = (clean(text, MAX_TAG_CHARS) for text in texts)
    return tuple(text for text in cleaned if text)[:MAX_TAGS]


def _both_ends(text: str, max_chars: int) -> str:
    if len(text) <= max_chars:
        return text
    tail = max_chars // 3
    return text[: max_chars - tail - len(_CUT)] + _CUT + text[-tail:]
