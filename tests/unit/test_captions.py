"""Captions as segments."""

from __future__ import annotations

import json

import pytest

from coop.results import Segment
from workers.engines.captions import choose_language, parse_captions

EXPECTED = (Segment(start=1.5, end=3.25, text="Power & supplies"), Segment(start=4, end=5, text="two lines"))


def test_webvtt_is_read_without_tags_notes_and_empty_cues() -> None:
    text = (
        "\ufeffWEBVTT\r\n\r\nNOTE a note\r\n\r\nSTYLE\n::cue { color: red }\n\n"
        "1\n00:00:01.500 --> 00:00:03.250 align:start\n"
        "<c.yellow>Power</c> &amp; <00:00:02.000>supplies\n\n00:00:04.000 --> 00:00:05.000\ntwo\nlines\n\n"
        "00:00:06.000 --> 00:00:07.000\n<i> </i>\n"
    )

    assert parse_captions(text, "vtt") == EXPECTED


def test_subrip_is_read() -> None:
    text = "1\n00:00:01,500 --> 00:00:03,250\n<i>Power</i> & supplies\n\n"
    text += "2\n00:00:04,000 --> 00:00:05,000\n{\\an8}two\nlines\n"

    assert parse_captions(text, "srt") == EXPECTED


def test_json3_is_read() -> None:
    events = [
        {"tStartMs": 4000, "dDurationMs": 1000, "segs": [{"utf8": "two\n"}, {"utf8": "lines"}]},
        {"tStartMs": 0, "id": 1},
        {"tStartMs": 1500, "dDurationMs": 1750, "segs": [{"utf8": "Power & supplies"}]},
        {"tStartMs": 5000, "segs": [{"utf8": "\n"}]},
    ]

    assert parse_captions(json.dumps({"events": events}), "json3") == EXPECTED


@pytest.mark.parametrize("kind", ["vtt", "srt", "json3"])
@pytest.mark.parametrize("text", ["<html>Sorry</html>", "{}", '{"events": [{"segs": 1}]}', "[1]"])
def test_what_is_not_of_its_kind_is_refused(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"captions are not|Expecting value"):
        parse_captions(text, kind)


@pytest.mark.parametrize(
    ("languages", "wanted", "expected"),
    [
        (["de", "en-GB", "en"], ["en", None], "en"),
        (["de", "en-GB"], ["en", None], "en-GB"),
        (["de", "pt-BR"], ["pt-PT"], "pt-BR"),
        (["de", "en"], [None, "de"], "de"),
        (["de", "en"], ["ko", "de"], None),
        (["de"], [None, None], "de"),
        (["de", "en"], [None, None], None),
        ([], [None], None),
    ],
)
def test_captions_are_taken_in_the_language_wanted(
    languages: list[str], wanted: list[str | None], expected: str | None
) -> None:
    assert choose_language(dict.fromkeys(languages, 0), *wanted) == expected
