"""Which format is downloaded."""

from __future__ import annotations

from typing import Any

from workers.engines.formats import choose_formats, usable_formats


def make_format(name: str, **more: Any) -> dict[str, Any]:
    return {"format_id": name, "url": f"https://cdn.example/{name}", "protocol": "https"} | more


def sound(name: str, **more: Any) -> dict[str, Any]:
    return make_format(name, vcodec="none", acodec="opus", **more)


def film(name: str, **more: Any) -> dict[str, Any]:
    return make_format(name, vcodec="h264", acodec="aac", **more)


def chosen(*formats: dict[str, Any], language: str | None = None) -> list[str]:
    usable = usable_formats({"formats": list(formats)})
    return [entry["format_id"] for entry in choose_formats(usable, language)]


def test_sound_alone_goes_before_a_smaller_film() -> None:
    assert chosen(film("film", filesize=10), sound("sound", filesize=500)) == ["sound", "film"]


def test_the_smallest_that_is_good_enough_for_speech_comes_first() -> None:
    rich, good, poor = sound("rich", abr=128, filesize=9), sound("good", abr=50, filesize=4), sound("poor", abr=32)

    assert chosen(rich, poor, good) == ["good", "rich", "poor"]


def test_the_language_asked_for_goes_before_size() -> None:
    english, korean = sound("en", language="en-US", filesize=9), sound("ko", language="ko", filesize=1)

    assert chosen(english, korean, language="en") == ["en", "ko"]


def test_the_original_language_goes_before_a_dubbed_one() -> None:
    dubbed = sound("dubbed", language="de", language_preference=-1, filesize=1)
    original = sound("original", language="en", language_preference=10, filesize=9)

    assert chosen(dubbed, original) == ["original", "dubbed"]


def test_a_silent_format_is_never_chosen() -> None:
    assert chosen(make_format("silent", vcodec="h264", acodec="none")) == []


def test_a_format_that_tells_nothing_is_tried_last() -> None:
    assert chosen(make_format("unknown"), film("film", tbr=300)) == ["film", "unknown"]


def test_storyboards_drm_and_protocols_of_other_programs_are_left_out() -> None:
    storyboard = make_format("sb0", vcodec="none", acodec="none", protocol="mhtml")

    assert chosen(storyboard, sound("drm", has_drm=True), sound("rtmp", protocol="rtmp")) == []


def test_at_most_three_are_tried() -> None:
    assert len(chosen(*(sound(str(number)) for number in range(9)))) == 3


def test_a_video_with_one_format_holds_it_itself() -> None:
    info = {"id": "v", "title": "T", "url": "https://cdn.example/v.mp4", "protocol": "https", "ext": "mp4"}

    assert usable_formats(info) == [{"url": info["url"], "protocol": "https", "ext": "mp4"}]


def test_a_video_without_formats_has_none() -> None:
    assert usable_formats({"id": "v", "formats": []}) == []
