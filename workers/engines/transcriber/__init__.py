"""Who writes down what is said: `openai` (any server that speaks its API) or `local` (faster-whisper)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from coop.settings import Settings
from workers.engines.deadline import Deadline
from workers.engines.transcriber import local, openai
from workers.engines.transcriber.doubts import without_inventions
from workers.engines.transcriber.heard import Heard
from workers.engines.transcriber.speech import samples_of, speech_spans


def engine_name(settings: Settings) -> str:
    """`openai:MODEL` or `local:MODEL`."""
    if settings.transcription_engine == "openai":
        return f"openai:{settings.transcribe_model}"
    return f"local:{local.model_name(settings)}"


def transcribe(audio: Path, pcm: bytes, language: str | None, settings: Settings, deadline: Deadline) -> Heard:
    """What is said in the file `audio`, whose samples are `pcm` (s16le, mono, 16 kHz).

    `language` (BCP 47) is the caller's word for it, None to detect it. Without speech nothing is heard and no engine
    is asked. Raises JobError: `transcription_failed`, and what the openai client raises.
    """
    samples = samples_of(pcm)
    speech = speech_spans(samples)
    deadline.check()
    if not speech:
        return Heard()
    code = language.split("-")[0].lower() if language else None
    if settings.transcription_engine == "openai":
        heard = openai.transcribe(audio, pcm, speech, code, settings, deadline)
    else:
        heard = local.transcribe(samples, code, settings, deadline)
    return replace(heard, segments=without_inventions(heard.segments, speech))
