"""Which of the heard segments are Whisper's inventions: text where nobody speaks, loops, credits of subtitlers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

from workers.engines.transcriber.heard import HeardSegment
from workers.engines.transcriber.speech import Span, overlap_seconds

# Whisper's own bounds: beyond them it decodes anew, and what is still beyond them then is a guess.
_MAX_NO_SPEECH_PROB = 0.6
_MIN_AVG_LOGPROB = -1.0
_MAX_COMPRESSION_RATIO = 2.4
# Of a segment that is real, at least this share lies in speech that the voice activity detection found.
_MIN_SHARE_IN_SPEECH = 0.1
# The same words so often in a row are a loop; a speaker who repeats himself rarely gets past two.
_LOOP_LENGTH = 4

# Nobody says these aloud: Whisper learnt them from the ends of subtitle files.
_CREDITS = re.compile(
    r"amara\.?org|subtitles? (made |created |provided )?by |subtitling by |transcription by |castingwords|opensubtitles"
    r"|untertitel (im auftrag|von|der amara)|sous-titr(es|age) |subtítulos (por|realizados)|www\.[a-z-]+\.(com|org|co)",
    re.IGNORECASE,
)
# These are also said in earnest, so they go only where Whisper itself is unsure.
_FAREWELLS = re.compile(
    r"^\W*((thank you|thanks)( so much| very much)?( for watching| for listening)?|(please )?(like and )?subscribe"
    r"( to (my|the) channel)?|you|bye( bye)?)\W*$",
    re.IGNORECASE,
)
_UNSURE_LOGPROB = -0.7
_UNSURE_NO_SPEECH_PROB = 0.5


def without_inventions(segments: Iterable[HeardSegment], speech: Sequence[Span]) -> tuple[HeardSegment, ...]:
    """The segments that stand to reason, in order; of a loop, its first."""
    kept = [segment for segment in segments if is_believable(segment, speech)]
    unlooped: list[HeardSegment] = []
    for _, run in groupby(kept, key=lambda segment: _letters(segment.text)):
        same = list(run)
        unlooped += same if len(same) < _LOOP_LENGTH else same[:1]
    return tuple(unlooped)


def is_believable(segment: HeardSegment, speech: Sequence[Span]) -> bool:
    if not _letters(segment.text) or _CREDITS.search(segment.text):
        return False
    if overlap_seconds(segment.span, speech) < _MIN_SHARE_IN_SPEECH * segment.span.seconds:
        return False
    logprob = 0.0 if segment.avg_logprob is None else segment.avg_logprob
    no_speech = segment.no_speech_prob or 0.0
    if _FAREWELLS.match(segment.text) and (logprob < _UNSURE_LOGPROB or no_speech > _UNSURE_NO_SPEECH_PROB):
        return False
    if no_speech > _MAX_NO_SPEECH_PROB and logprob < _MIN_AVG_LOGPROB:
        return False
    return (segment.compression_ratio or 0.0) <= _MAX_COMPRESSION_RATIO


def _letters(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())
