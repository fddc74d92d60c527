"""What the stages find, as pydantic models: the only place that knows the camelCase of the wire.

`to_document()` gives the JSON form of the contract, section 4. What a site does not tell is None, never 0.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class WireModel(BaseModel):
    """Read by field name or alias, frozen; fields of a newer version are kept, not dropped."""

    model_config = ConfigDict(frozen=True, extra="allow", alias_generator=to_camel, populate_by_name=True)

    def to_document(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True)


class EntryStyle(StrEnum):
    """How the video opens."""

    QUESTION = "question"
    DIRECT_ADDRESS = "direct address"
    BOLD_CLAIM = "bold claim"
    STATISTIC = "statistic"
    STORY = "story"
    DEMONSTRATION = "demonstration"
    QUOTE = "quote"
    GREETING = "greeting"
    STATEMENT = "statement"
    NO_SPEECH = "no speech"


class Structure(StrEnum):
    """How the video is built."""

    PROBLEM_SOLUTION = "problem-solution"
    LIST = "list"
    STEP_BY_STEP = "step-by-step"
    QUESTION_ANSWER = "question-answer"
    COMPARISON = "comparison"
    STORY = "story"
    ARGUMENT = "argument"
    REVIEW = "review"
    EXPLANATION = "explanation"
    MONOLOGUE = "monologue"
    NO_SPEECH = "no speech"


class Pace(StrEnum):
    """Measured words per minute of speech: slow under 120, moderate to 160, fast to 200, very fast above."""

    SLOW = "slow"
    MODERATE = "moderate"
    FAST = "fast"
    VERY_FAST = "very fast"
    NO_SPEECH = "no speech"

    @classmethod
    def of(cls, words_per_minute: float | None) -> Pace:
        if not words_per_minute:
            return cls.NO_SPEECH
        bounds = ((120, cls.SLOW), (160, cls.MODERATE), (200, cls.FAST))
        return next((pace for bound, pace in bounds if words_per_minute < bound), cls.VERY_FAST)


class Emotion(StrEnum):
    """What the video makes one feel."""

    INFORMATIVE = "informative"
    EXCITED = "excited"
    HUMOROUS = "humorous"
    INSPIRING = "inspiring"
    CALM = "calm"
    SERIOUS = "serious"
    SAD = "sad"
    ANGRY = "angry"
    FEARFUL = "fearful"
    SURPRISED = "surprised"
    NEUTRAL = "neutral"


class Tone(StrEnum):
    """How a content idea speaks to its viewers."""

    EDUCATIONAL = "educational"
    ENTERTAINING = "entertaining"
    INSPIRATIONAL = "inspirational"
    HUMOROUS = "humorous"
    CASUAL = "casual"
    DRAMATIC = "dramatic"
    PERSUASIVE = "persuasive"
    SERIOUS = "serious"


def iso_duration(seconds: float | None) -> str | None:
    """ISO 8601 in whole seconds: 27.4 is PT27S, 65 is PT1M5S. None for unknown and for nothing."""
    if not seconds or seconds <= 0:
        return None
    minutes, rest = divmod(max(1, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "H"), (minutes, "M"), (rest, "S"))
    return "PT" + "".join(f"{value}{unit}" for value, unit in parts if value)


class Metadata(WireModel):
    """What the site says of the video. `published`: ISO 8601 UTC; `duration`: ISO 8601."""

    id: str | None = None
    title: str | None = None
    channel: str | None = None
    views: int | None = None
    likes: int | None = None
    published: str | None = None
    duration: str | None = None


class Chapter(WireModel):
    title: str
    start_seconds: float
    end_seconds: float | None = None


class HeatPoint(WireModel):
    """How much a stretch of the video is replayed, 0 to 1."""

    start_seconds: float
    end_seconds: float
    value: float


class Source(WireModel):
    """What the stage metadata found: `metadata` for the wire, the rest for the later stages."""

    metadata: Metadata
    url: str
    extractor: str
    description: str | None = None
    tags: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    language: str | None = None
    heatmap: tuple[HeatPoint, ...] = ()
    caption_languages: tuple[str, ...] = Field((), description="Languages of captions the uploader wrote.")


class Segment(WireModel):
    """A stretch of speech; `start` and `end` in seconds from the beginning of the video."""

    start: float
    end: float
    text: str


class Captions(WireModel):
    """Captions the uploader wrote."""

    language: str
    segments: tuple[Segment, ...]


class Audio(WireModel):
    """What the stage download left: an audio file that any transcriber takes.

    `duration_seconds` is measured: the length of the media, by decoding timestamps, not what a page claims.
    """

    file_name: str
    codec: str
    size_bytes: int
    duration_seconds: float
    copied: bool = Field(description="Stream copy (True) or encoded anew (False).")
    captions: Captions | None = None


class Usage(WireModel):
    """What one call of an engine used and cost. `usd` is None when the model's price is unknown, 0 when it is free."""

    engine: str
    model: str
    audio_seconds: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    usd: float | None = None


class Transcript(WireModel):
    """What is said. `words_per_minute`: words by minutes of speech (the segments), None without speech."""

    text: str = ""
    language: str | None = None
    segments: tuple[Segment, ...] = ()
    words_per_minute: float | None = None
    engine: str = Field(description="`openai:MODEL`, `local:MODEL` or `captions`.")
    usage: tuple[Usage, ...] = ()


class Analysis(WireModel):
    """What the video is like. `hook`: the words it opens with; `length_seconds`: measured, to the whole second."""

    hook: str
    entry_style: EntryStyle
    niche: str
    structure: Structure
    length_seconds: int
    pace: Pace
    emotion: Emotion


class AnalysisReport(WireModel):
    """An analysis and what it took."""

    analysis: Analysis
    engine: str
    usage: tuple[Usage, ...] = ()


class Idea(WireModel):
    """A content idea. `outline`: numbered lines; `suggested_length`: seconds."""

    title: str
    hook: str
    outline: str
    suggested_length: int
    tone: Tone


class IdeasReport(WireModel):
    """Ideas and what they took."""

    ideas: tuple[Idea, ...]
    engine: str
    usage: tuple[Usage, ...] = ()


class Found(WireModel):
    """What the stages of one job have found so far, and what was spent in vain."""

    metadata: Source | None = None
    download: Audio | None = None
    transcribe: Transcript | None = None
    analyze: AnalysisReport | None = None
    ideas: IdeasReport | None = None
    spent: tuple[Usage, ...] = Field((), description="What failed attempts used and cost all the same.")
