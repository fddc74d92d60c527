"""What Whisper makes up is dropped, and what is said stays."""

import pytest

from workers.engines.transcriber.doubts import is_believable, without_inventions
from workers.engines.transcriber.heard import HeardSegment
from workers.engines.transcriber.speech import Span

SPEECH = (Span(0, 10), Span(20, 30))


def said(text, start=1.0, end=3.0, **doubts):
    return HeardSegment(Span(start, end), text, **doubts)


def test_a_clear_sentence_stays():
    assert is_believable(said("Stay away from this.", avg_logprob=-0.2, no_speech_prob=0.01), SPEECH)


def test_a_sentence_of_a_transcriber_that_tells_no_doubts_stays():
    assert is_believable(said("Stay away from this."), SPEECH)


def test_text_where_nobody_speaks_is_dropped():
    assert not is_believable(said("Thanks, everyone.", 12, 18), SPEECH)


def test_a_segment_that_reaches_into_silence_stays():
    assert is_believable(said("Stay away from this.", 8, 14), SPEECH)


@pytest.mark.parametrize("text", ["", "  ", "...", "♪♪"])
def test_a_segment_without_a_letter_is_dropped(text):
    assert not is_believable(said(text), SPEECH)


def test_a_segment_that_whisper_takes_for_silence_and_guessed_is_dropped():
    assert not is_believable(said("And so on.", no_speech_prob=0.9, avg_logprob=-1.4), SPEECH)


def test_a_sure_segment_stays_although_it_sounds_like_silence():
    assert is_believable(said("And so on.", no_speech_prob=0.9, avg_logprob=-0.3), SPEECH)


def test_a_text_that_compresses_like_a_loop_is_dropped():
    assert not is_believable(said("no no no no no no no no", compression_ratio=3.1), SPEECH)


@pytest.mark.parametrize(
    "text", ["Subtitles by the Amara.org community", "Untertitel im Auftrag des ZDF", "Transcription by CastingWords"]
)
def test_credits_of_subtitlers_are_dropped_however_sure(text):
    assert not is_believable(said(text, avg_logprob=-0.1, no_speech_prob=0.0), SPEECH)


@pytest.mark.parametrize(
    "text", ["Thanks for watching!", "Thank you for listening.", " you", "Please subscribe to my channel."]
)
def test_a_farewell_goes_only_where_whisper_is_unsure(text):
    unsure = is_believable(said(text, avg_logprob=-0.9, no_speech_prob=0.8), SPEECH)
    sure = is_believable(said(text, avg_logprob=-0.2, no_speech_prob=0.1), SPEECH)

    assert (unsure, sure) == (False, True)


def test_of_a_loop_its_first_stays():
    loop = [said("I love you.", start, start + 1) for start in range(6)]

    assert without_inventions([*loop, said("Goodbye.", 8, 9)], SPEECH) == (loop[0], said("Goodbye.", 8, 9))


def test_a_speaker_may_say_it_three_times():
    thrice = tuple(said("Location.", start, start + 1) for start in range(3))

    assert without_inventions(thrice, SPEECH) == thrice
