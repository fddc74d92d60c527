"""The stage metadata: what the site tells of the video. What cannot be done is refused before any download."""

from __future__ import annotations

import contextlib
import datetime
import math
from collections.abc import Iterable, Mapping
from typing import Any

from coop.results import Chapter, HeatPoint, Metadata, Source, iso_duration
from workers.engines import ytdlp
from workers.engines.plain_text import clean, clean_lines
from workers.stages.extraction import Extraction, save_extraction
from workers.stages.work import Work

Info = Mapping[str, Any]

_TITLE_CHARS = 500
_DESCRIPTION_CHARS = 5_000
_TAG_CHARS = 100
_MAX_TAGS = 100
_MAX_CHAPTERS = 200
_MAX_HEAT_POINTS = 200


def run(work: Work) -> Source:
    """Ask the site for the video of `work.job`, and leave what it said for the stage download."""
    language = work.job.options.language
    info = ytdlp.extract(work.job.video_url, work.settings, work.deadline, language)
    save_extraction(work, Extraction.of(info, work.settings.machine))
    return source_of(info, work.job.video_url)


def source_of(info: Info, url: str) -> Source:
    """yt-dlp's dictionary as the project's own model; what the site does not tell is None."""
    return Source(
        metadata=Metadata(
            id=_text(info.get("id"), _TITLE_CHARS),
            title=_text(info.get("title"), _TITLE_CHARS),
            channel=_channel(info),
            views=_count(info.get("view_count")),
            likes=_count(info.get("like_count")),
            published=_published(info),
            duration=iso_duration(_number(info.get("duration"))),
        ),
        url=_text(info.get("webpage_url"), 2_048) or url,
        extractor=_text(info.get("extractor"), _TAG_CHARS) or "unknown",
        description=_text(info.get("description"), _DESCRIPTION_CHARS, lines=True),
        tags=_texts(info.get("tags")),
        categories=_texts(info.get("categories")),
        chapters=tuple(_chapters(info.get("chapters") or ())),
        language=_text(info.get("language"), 35),
        heatmap=tuple(_heatmap(info.get("heatmap") or ())),
        caption_languages=_texts(list(info.get("subtitles") or ())),
    )


def _channel(info: Info) -> str | None:
    names = (_text(info.get(key), _TITLE_CHARS) for key in ("channel", "uploader", "creator"))
    # Where a page names nobody, yt-dlp's generic extractor puts the site's host.
    return next((name for name in names if name and name != info.get("webpage_url_domain")), None)


def _published(info: Info) -> str | None:
    """When it was published, in UTC. A site that tells the day alone leaves the time to guess: None."""
    for key in ("timestamp", "release_timestamp"):
        moment = _number(info.get(key))
        if moment is not None:
            with contextlib.suppress(OverflowError, ValueError, OSError):
                return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return None


def _text(value: object, limit: int, *, lines: bool = False) -> str | None:
    """`value` without control characters, at most `limit` characters; None when nothing is left."""
    if not isinstance(value, str):
        return None
    # A text of megabytes is not looked at to its end.
    return (clean_lines if lines else clean)(value[: limit * 10], limit) or None


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        return ()
    return tuple(text for value in values if (text := _text(value, _TAG_CHARS)))[:_MAX_TAGS]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _count(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number >= 0 else None


def _chapters(entries: Iterable[Info]) -> Iterable[Chapter]:
    for entry in list(entries)[:_MAX_CHAPTERS]:
        title, start = _text(entry.get("title"), _TITLE_CHARS), _number(entry.get("start_time"))
        if title and start is not None:
            yield Chapter(title=title, start_seconds=start, end_seconds=_number(entry.get("end_time")))


def _heatmap(entries: Iterable[Info]) -> Iterable[HeatPoint]:
    for entry in list(entries)[:_MAX_HEAT_POINTS]:
        start, end, value = (_number(entry.get(key)) for key in ("start_time", "end_time", "value"))
        if start is not None and end is not None and value is not None:
            yield HeatPoint(start_seconds=start, end_seconds=end, value=value)
