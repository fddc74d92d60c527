"""Speech is told from silence, music and noise."""

import numpy as np
import pytest

from workers.engines.transcriber.speech import (
    SAMPLE_RATE,
    Span,
    overlap_seconds,
    samples_of,
    speech_spans,
    total_seconds,
)

_TIMES = np.arange(12 * SAMPLE_RATE) / SAMPLE_RATE


def _noise(level):
    return np.random.default_rng(1).normal(0, level, _TIMES.size)


def _chords():
    notes = sum(np.sin(2 * np.pi * pitch * _TIMES) for pitch in (261.6, 329.6, 392.0))
    return 0.2 * notes * (0.6 + 0.4 * np.sign(np.sin(np.pi * _TIMES)))


def _drums():
    return _noise(0.5) * np.exp(-((_TIMES * 2) % 1) * 12)


def _melody():
    pitches = np.random.default_rng(2).choice([220, 247, 262, 294, 330, 349, 392, 440], 48)
    beat = np.arange(SAMPLE_RATE // 4) / SAMPLE_RATE
    fading = np.linspace(0.5, 0.1, beat.size)
    return np.concatenate([np.sin(2 * np.pi * pitch * beat) * fading for pitch in pitches])


@pytest.mark.parametrize(
    "sound",
    [np.zeros_like(_TIMES), _noise(0.05), _noise(0.9), _chords(), _drums(), _chords() + _drums(), _melody()],
    ids=["silence", "noise", "loud noise", "chords", "drums", "band", "melody"],
)
def test_silence_noise_and_music_hold_no_speech(sound):
    assert speech_spans(np.clip(sound, -1, 1).astype(np.float32)) == ()


@pytest.mark.parametrize("length", [0, 1, 511])
def test_almost_no_samples_hold_no_speech(length):
    assert speech_spans(np.zeros(length, np.float32)) == ()


def test_samples_are_read_as_little_endian_and_lie_between_minus_1_and_1():
    samples = samples_of(b"\x00\x00\xff\x7f\x00\x80\x07")

    assert samples.tolist() == [0.0, pytest.approx(1.0, abs=1e-4), -1.0]


def test_what_overlaps_counts_once():
    assert total_seconds([Span(5, 6), Span(0, 3), Span(1, 2), Span(2, 4)]) == 5


def test_the_overlap_is_the_sum_over_all_spans():
    assert overlap_seconds(Span(2, 8), (Span(0, 3), Span(4, 5), Span(7, 9))) == 3
