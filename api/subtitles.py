"""A transcript as plain text, SubRip and WebVTT."""

from __future__ import annotations

import html

from coop.results import Segment, Transcript


def as_txt(transcript: Transcript) -> str:
    return f"{transcript.text}\n" if transcript.text else ""


def as_srt(transcript: Transcript) -> str:
    blocks = (
        f"{number}\n{_time(segment.start, ',')} --> {_time(segment.end, ',')}\n{_lines(segment)}\n"
        for number, segment in enumerate(transcript.segments, start=1)
    )
    return "\n".join(blocks)


def as_vtt(transcript: Transcript) -> str:
    # In WebVTT `<` begins a tag and `&` an entity; what is said holds neither.
    blocks = (
        f"{_time(segment.start, '.')} --> {_time(segment.end, '.')}\n{html.escape(_lines(segment), quote=False)}\n"
        for segment in transcript.segments
    )
    return "\n".join(("WEBVTT\n", *blocks))


def _time(seconds: float, separator: str) -> str:
    whole, milliseconds = divmod(round(max(seconds, 0) * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{separator}{milliseconds:03}"


def _lines(segment: Segment) -> str:
    """The text without empty lines, which would end its block, nor an arrow, which would begin a time."""
    lines = (line.strip() for line in segment.text.replace("-->", "→").splitlines())
    return "\n".join(line for line in lines if line)
