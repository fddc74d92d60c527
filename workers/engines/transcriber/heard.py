"""What a transcriber hears, before anybody has doubted it."""

from __future__ import annotations

from dataclasses import dataclass

from coop.results import Usage
from workers.engines.transcriber.speech import Span


@dataclass(frozen=True)
class HeardSegment:
    """A stretch of text with Whisper's own doubts about it; None where a transcriber tells none.

    `avg_logprob`: mean log probability of its tokens; `no_speech_prob`: 0 to 1; `compression_ratio`: how well the text
    compresses, high for loops.
    """

    span: Span
    text: str
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None


@dataclass(frozen=True)
class Heard:
    """The segments, and the language as a code (`en`), None when unknown.

    `speech_seconds` is set where the segments' times are too coarse to say how long was spoken.
    """

    segments: tuple[HeardSegment, ...] = ()
    language: str | None = None
    usage: tuple[Usage, ...] = ()
    speech_seconds: float | None = None
