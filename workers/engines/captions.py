"""Captions that an uploader wrote, as segments: WebVTT, SubRip and YouTube's json3."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import webvtt
from webvtt.errors import MalformedCaptionError, MalformedFileError
from webvtt.models import Timestamp

from coop.results import Segment
from workers.engines.plain_text import clean

T = TypeVar("T")

_TAG = re.compile(r"<[^>]*>|\{\\[^}]*\}")
_MAX_SEGMENTS = 5_000
_MAX_CHARS = 1_000


def choose_language(languages: Mapping[str, T], *wanted: str | None) -> str | None:
    """The language to take: the first of `wanted` that is known decides, exactly or by its main part.

    When none is known, captions in one language alone are taken for those of the video.
    """
    language = next((name for name in wanted if name), None)
    if language is None:
        return next(iter(languages)) if len(languages) == 1 else None
    exact = [name for name in languages if name.lower() == language.lower()]
    near = [name for name in languages if _main_part(name) == _main_part(language)]
    return next(iter([*exact, *near]), None)


def _main_part(language: str) -> str:
    return re.split(r"[-_]", language.lower())[0]


def parse_captions(text: str, kind: str) -> tuple[Segment, ...]:
    """The segments of captions of the kind `vtt`, `srt` or `json3`, in order of time, without empty ones.

    Raises ValueError when the text is not of that kind.
    """
    cues = _read_json3(text) if kind == "json3" else _read_cues(text, kind)
    segments = (_segment(start, end, words) for start, end, words in cues)
    found = sorted((segment for segment in segments if segment), key=lambda segment: segment.start)
    return tuple(found[:_MAX_SEGMENTS])


def _read_cues(text: str, kind: str) -> Iterable[tuple[float, float, str]]:
    try:
        captions = webvtt.WebVTT.from_buffer(text.splitlines(), format=kind)
    except (MalformedFileError, MalformedCaptionError) as error:
        raise ValueError(f"the captions are not {kind}") from error
    return [(_seconds(cue.start_time), _seconds(cue.end_time), cue.text) for cue in captions.captions]


def _seconds(time: Timestamp) -> float:
    return time.hours * 3600 + time.minutes * 60 + time.seconds + time.milliseconds / 1000


def _read_json3(text: str) -> Iterable[tuple[float, float, str]]:
    try:
        events: list[dict[str, Any]] = json.loads(text)["events"]
        return [
            (
                event["tStartMs"] / 1000,
                (event["tStartMs"] + event.get("dDurationMs", 0)) / 1000,
                "".join(part.get("utf8", "") for part in event["segs"]),
            )
            for event in events
            if "segs" in event
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("the captions are not json3") from error


def _segment(start: float, end: float, words: str) -> Segment | None:
    text = clean(html.unescape(_TAG.sub("", words)), _MAX_CHARS)
    return Segment(start=start, end=max(start, end), text=text) if text else None
