from __future__ import annotations

from api.subtitles import as_srt, as_txt, as_vtt
from coop.results import Segment, Transcript

SPEECH = Transcript(
    text="Hi & bye. <3",
    engine="e",
    segments=(Segment(start=0, end=1.5, text=" Hi & bye. "), Segment(start=3661.0004, end=3662.9999, text="<3")),
)


def test_subrip_numbers_its_blocks() -> None:
    assert as_srt(SPEECH) == ("1\n00:00:00,000 --> 00:00:01,500\nHi & bye.\n\n2\n01:01:01,000 --> 01:01:03,000\n<3\n")


def test_webvtt_escapes_what_would_be_markup() -> None:
    assert as_vtt(SPEECH) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHi &amp; bye.\n\n01:01:01.000 --> 01:01:03.000\n&lt;3\n"
    )


def test_text_cannot_end_its_block_nor_begin_another() -> None:
    odd = Transcript(engine="e", segments=(Segment(start=0, end=1, text="a\n\n1\n00:00 --> 00:01\r\nb"),))

    assert as_srt(odd) == "1\n00:00:00,000 --> 00:00:01,000\na\n1\n00:00 → 00:01\nb\n"


def test_a_video_without_speech_has_empty_but_valid_forms() -> None:
    silent = Transcript(engine="e")

    assert (as_txt(silent), as_srt(silent), as_vtt(silent)) == ("", "", "WEBVTT\n")


def test_plain_text_is_the_words_alone() -> None:
    assert as_txt(SPEECH) == "Hi & bye. <3\n"
