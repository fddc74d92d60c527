"""What a site says, as the project's own model."""

from __future__ import annotations

from typing import Any

import pytest

from coop.results import iso_duration
from workers.stages.metadata import source_of

URL = "https://example.org/v"


def metadata_of(**info: Any) -> dict[str, Any]:
    return source_of(info, URL).metadata.to_document()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(27, "PT27S"), (27.4, "PT27S"), (65, "PT1M5S"), (60, "PT1M"), (3600, "PT1H"), (3725.6, "PT1H2M6S"), (0.2, "PT1S")],
)
def test_durations_are_iso_8601(seconds: float, expected: str) -> None:
    assert iso_duration(seconds) == expected


@pytest.mark.parametrize("seconds", [None, 0, -3])
def test_an_unknown_duration_is_none(seconds: float | None) -> None:
    assert iso_duration(seconds) is None


def test_nothing_is_made_up() -> None:
    assert set(metadata_of().values()) == {None}


def test_a_count_of_nothing_is_nothing_and_not_unknown() -> None:
    assert metadata_of(view_count=0, like_count=None)["views"] == 0
    assert metadata_of(view_count=0, like_count=None)["likes"] is None


@pytest.mark.parametrize("value", ["many", -1, True, [], float("1e400")])
def test_odd_counts_and_times_are_unknown(value: object) -> None:
    found = metadata_of(view_count=value, timestamp=value if value != -1 else "x")

    assert (found["views"], found["published"]) == (None, None)


def test_times_are_utc() -> None:
    assert metadata_of(timestamp=1752685259)["published"] == "2025-07-16T17:00:59Z"


def test_a_day_without_a_time_is_not_made_a_time() -> None:
    assert metadata_of(upload_date="20250716")["published"] is None


def test_the_host_that_stands_for_a_missing_channel_is_none() -> None:
    assert metadata_of(uploader="example.org", webpage_url_domain="example.org")["channel"] is None


def test_text_is_stripped_of_what_steers_a_terminal_or_a_line() -> None:
    assert metadata_of(title=" A\x1b[31m\u202e b\x00\n c\ud800 ")["title"] == "A[31m b c"


def test_text_is_bounded() -> None:
    source = source_of({"title": "x" * 9999, "description": "y" * 9999, "tags": ["z" * 999] * 999}, URL)

    assert len(source.metadata.title or "") == 500
    assert len(source.description or "") == 5_000
    assert (len(source.tags), len(source.tags[0])) == (100, 100)


def test_a_description_keeps_its_lines() -> None:
    assert source_of({"description": "one\ntwo\r\n"}, URL).description == "one\ntwo"


def test_what_later_stages_can_use_is_kept() -> None:
    source = source_of(
        {
            "chapters": [{"title": "Intro", "start_time": 0, "end_time": 5}, {"title": None, "start_time": 5}],
            "heatmap": [{"start_time": 0, "end_time": 1, "value": 0.5}, {"value": 1}],
            "subtitles": {"en": {}, "de": {}},
            "language": "en",
        },
        URL,
    )

    assert [chapter.title for chapter in source.chapters] == ["Intro"]
    assert [point.value for point in source.heatmap] == [0.5]
    assert (source.caption_languages, source.language, source.url) == (("en", "de"), "en", URL)
