"""Where in the audio somebody speaks: Silero VAD, which faster-whisper carries, on decoded samples.

Whisper makes words up on silence and music, so both transcribers ask here first, and what they hear outside of
speech is dropped.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

SAMPLE_RATE = 16_000
BYTES_PER_SECOND = SAMPLE_RATE * 2

# Loud noise passes the usual 0.5 for moments; speech stands well above 0.6 nearly all of its time.
VAD_OPTIONS: dict[str, Any] = {
    "threshold": 0.6,
    "min_speech_duration_ms": 250,
    "min_silence_duration_ms": 500,
    "speech_pad_ms": 300,
}
# Less than this in all is no speech that anybody could analyse: a shout, a cough, a note that sounds like a voice.
MIN_SPEECH_SECONDS = 0.5


class Span(NamedTuple):
    """A stretch of time, in seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


def samples_of(pcm: bytes) -> Samples:
    """Mono samples of -1 to 1 from s16le bytes; an odd byte at the end is left out."""
    import numpy as np

    return np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype="<i2").astype(np.float32) / 32768.0


# It is arithmetic alone: more at once than there are cores only take memory, 16 MB for each half minute of sound.
_turns = threading.BoundedSemaphore(os.cpu_count() or 1)


def speech_spans(samples: Samples) -> tuple[Span, ...]:
    """Where somebody speaks, with a little room on both sides; empty when that is less than MIN_SPEECH_SECONDS."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    with _turns:
        found = get_speech_timestamps(samples, VadOptions(**VAD_OPTIONS))
    spans = tuple(Span(each["start"] / SAMPLE_RATE, each["end"] / SAMPLE_RATE) for each in found)
    room = 2 * len(spans) * VAD_OPTIONS["speech_pad_ms"] / 1000
    return spans if total_seconds(spans) - room >= MIN_SPEECH_SECONDS else ()


def total_seconds(spans: Iterable[Span]) -> float:
    """Seconds that the spans cover together; what overlaps counts once."""
    total, covered_to = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, covered_to))
        covered_to = max(covered_to, end)
    return total


def overlap_seconds(span: Span, others: Sequence[Span]) -> float:
    """Seconds of `span` that lie in one of `others`, which do not overlap each other."""
    return sum(max(0.0, min(span.end, other.end) - max(span.start, other.start)) for other in others)
