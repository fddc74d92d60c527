"""Words are counted, file names tamed, and each model is asked for what it knows."""

import pytest

from coop.results import Segment
from coop.settings import Settings
from workers.engines import transcriber
from workers.engines.transcriber.openai import request_options
from workers.stages.transcribe import _transcript, count_words, safe_name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello there, old friend!", 4),
        ("It's a state-of-the-art 12.5 volt rail", 6),
        ("Ça va très bien — n'est-ce pas?", 6),
        ("...", 0),
        ("这个视频很好看", 4),
        ("GPU の温度", 3),
    ],
)
def test_words_are_counted_in_any_script(text, words):
    assert count_words(text) == words


def test_words_per_minute_are_words_by_minutes_of_the_segments():
    segments = [Segment(start=0, end=3, text="one two three"), Segment(start=20, end=23, text=" four five six ")]

    transcript = _transcript(segments, "en", engine="captions")

    assert transcript.words_per_minute == 60
    assert transcript.text == "one two three four five six"


def test_segments_without_text_make_an_empty_transcript():
    transcript = _transcript([Segment(start=0, end=3, text="  ")], "en", engine="captions")

    assert (transcript.text, transcript.segments, transcript.words_per_minute, transcript.language) == (
        "",
        (),
        None,
        None,
    )


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("audio.m4a", "audio.m4a"),
        ("../../etc/passwd", "audio"),
        ("..\\..\\boot.INI", "audio.ini"),
        ("x.m4a\x00.exe/", "audio.exe"),
        ("a.$(id)", "audio"),
        ("", "audio"),
    ],
)
def test_only_the_ending_of_a_file_name_is_kept(name, safe):
    assert safe_name(name.replace("\x00", "")) == safe


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("whisper-1", {"response_format": "verbose_json", "timestamp_granularities": ["segment"], "language": "de"}),
        ("large-v3", {"response_format": "verbose_json", "timestamp_granularities": ["segment"], "language": "de"}),
        ("gpt-transcribe", {"languages": ["de"]}),
        ("gpt-4o-mini-transcribe", {"response_format": "json", "language": "de"}),
        (
            "gpt-4o-transcribe-diarize",
            {"response_format": "diarized_json", "chunking_strategy": "auto", "language": "de"},
        ),
    ],
)
def test_each_model_is_asked_for_the_best_it_knows(model, options):
    assert request_options(model, "de") == options


def test_a_language_that_the_api_does_not_know_is_left_to_be_detected():
    assert request_options("gpt-transcribe", "tlh") == {}
    assert "language" not in request_options("whisper-1", "tlh")


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "local:tiny.en"),
        ({"OPENAI_API_KEY": "k"}, "openai:whisper-1"),
        ({"transcribe_api_key": "k", "transcribe_model": "gpt-transcribe"}, "openai:gpt-transcribe"),
        ({"text_api_key": "k"}, "local:tiny.en"),
        ({"OPENAI_API_KEY": "k", "transcriber": "local", "whisper_model": "/models/large-v3"}, "local:large-v3"),
        ({"transcriber": "openai"}, "openai:whisper-1"),
    ],
)
def test_the_engine_is_named_by_kind_and_model(settings, name):
    assert transcriber.engine_name(Settings(**settings)) == name
