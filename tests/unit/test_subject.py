"""What strangers wrote is cut and cleaned before anybody is asked about it."""

import pytest

from coop.results import Found
from tests.support.stage_work import make_source, make_transcript
from workers.engines.analyzer.subject import MAX_TAGS, MAX_TRANSCRIPT_CHARS, Subject
from workers.engines.plain_text import clean


@pytest.mark.parametrize(
    ("dirty", "cleaned"),
    [
        (None, ""),
        ("  a\r\n\tb  ", "a b"),
        ("a\x00b\x1b[31mc\x7f", "ab[31mc"),
        ("evil\u202etxt.exe\u2066", "eviltxt.exe"),
        ("hid\U000e0041\U000e0042den\ufeff", "hidden"),
        ("👩\u200d🚀 ok", "👩\u200d🚀 ok"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_control_and_invisible_characters_are_removed(dirty, cleaned):
    assert clean(dirty) == cleaned


def test_overlong_text_is_cut_and_a_long_transcript_keeps_both_ends():
    source = make_source(title="t" * 999, description="d" * 9999, tags=("x" * 99,) * 99)
    transcript = make_transcript("start " + "middle " * 9000 + "end")

    subject = Subject.of(Found(metadata=source, transcribe=transcript))

    assert (len(subject.title), len(subject.description), len(subject.tags)) == (300, 2000, MAX_TAGS)
    assert subject.transcript.startswith("start middle")
    assert subject.transcript.endswith("middle end")
    assert len(subject.transcript) == MAX_TRANSCRIPT_CHARS


def test_the_language_that_was_heard_goes_before_the_one_the_site_tells():
    heard = Found(metadata=make_source(language="de"), transcribe=make_transcript("Hello", language="en"))
    silent = Found(metadata=make_source(language="de"), transcribe=make_transcript(""))

    assert (Subject.of(heard).language, Subject.of(silent).language) == ("en", "de")


def test_a_video_that_nothing_is_known_of_has_no_words():
    assert not Subject.of(Found()).has_words
