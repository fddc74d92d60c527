"""Transcription by a server that speaks OpenAI's API: OpenAI itself, or any that COOP_TRANSCRIBE_BASE_URL names."""

from __future__ import annotations

import functools
import io
import json
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from coop.costs import transcription_cost
from coop.errors import JobError
from coop.results import Usage
from coop.settings import Settings
from workers.engines.deadline import Deadline
from workers.engines.openai_client import RawResponse, ask, transcription_endpoint
from workers.engines.transcriber.heard import Heard, HeardSegment
from workers.engines.transcriber.speech import BYTES_PER_SECOND, SAMPLE_RATE, Span, total_seconds

MAX_UPLOAD_BYTES = 25 * 2**20
# The endings by which the API tells what a file is; Ogg by another of its names is renamed, all else goes as WAV.
_KNOWN_ENDINGS = frozenset({".flac", ".mp3", ".mp4", ".mpeg", ".mpga", ".m4a", ".ogg", ".wav", ".webm"})
_OGG_ENDINGS = frozenset({".oga", ".opus"})


class _Segment(BaseModel):
    start: float
    end: float
    text: str
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None


class _Language(BaseModel):
    code: str


class _Usage(BaseModel):
    seconds: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class _Answer(BaseModel):
    """What is read of any of the API's JSON formats; compatible servers leave much of it out."""

    text: str
    language: str | None = None
    languages: list[_Language] | None = None
    duration: float | None = None
    segments: list[_Segment] | None = None
    usage: _Usage | None = None


def transcribe(
    audio: Path, pcm: bytes, speech: Sequence[Span], language: str | None, settings: Settings, deadline: Deadline
) -> Heard:
    """What the server hears in the file. Raises JobError as `openai_client.ask` does."""
    endpoint = transcription_endpoint(settings)
    upload = _upload(audio, pcm)
    options = request_options(settings.transcribe_model, language)

    async def send(client: Any, timeout: float) -> RawResponse:
        raw: RawResponse = await client.audio.transcriptions.with_raw_response.create(
            model=settings.transcribe_model, file=upload, timeout=timeout, **options
        )
        return raw

    answer = _read(ask(endpoint, send, deadline))
    usage = _usage_of(answer, len(pcm) / BYTES_PER_SECOND, settings)
    return _heard(answer, speech, language, usage)


def request_options(model: str, language: str | None) -> dict[str, Any]:
    """What `model` takes beside the file. Only Whisper and the diarizing model tell times.

    A language that Whisper has no code for is no hint: the API would refuse the request.
    """
    language = language if language in _codes().values() else None
    hint = {"language": language} if language else {}
    if model.startswith("gpt-transcribe"):
        return {"languages": [language]} if language else {}  # knows one format, and hints in the plural
    if model.startswith("gpt-4o") and "diarize" in model:
        return {"response_format": "diarized_json", "chunking_strategy": "auto", **hint}
    if model.startswith("gpt-4o"):
        return {"response_format": "json", **hint}
    return {"response_format": "verbose_json", "timestamp_granularities": ["segment"], **hint}


def _upload(audio: Path, pcm: bytes) -> tuple[str, bytes]:
    """Name and bytes of the file to send, by a name that the API knows the format of."""
    ending = audio.suffix.lower()
    if ending in _KNOWN_ENDINGS:
        name, content = f"audio{ending}", audio.read_bytes()
    elif ending in _OGG_ENDINGS:
        name, content = "audio.ogg", audio.read_bytes()
    else:
        name, content = "audio.wav", _as_wav(pcm)
    if len(content) > MAX_UPLOAD_BYTES:
        raise JobError("transcription_failed", "The audio is larger than the API takes.", passing=False)
    return name, content


def _as_wav(pcm: bytes) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm)
    return buffer.getvalue()


def _read(body: str) -> _Answer:
    try:
        return _Answer.model_validate_json(body)
    except ValidationError as error:
        raise JobError("transcription_failed", "The engine's server answers nonsense.", passing=True) from error


def _heard(answer: _Answer, speech: Sequence[Span], language: str | None, usage: Usage) -> Heard:
    found = _language_code(answer) or language
    if answer.segments:
        return Heard(tuple(_heard_segment(each) for each in answer.segments), found, (usage,))
    # No times were told: the text lies somewhere between the first and the last word, and took as long as the speech.
    whole = HeardSegment(Span(speech[0].start, speech[-1].end), answer.text.strip())
    return Heard((whole,), found, (usage,), total_seconds(speech))


def _heard_segment(segment: _Segment) -> HeardSegment:
    start = max(0.0, segment.start)
    return HeardSegment(
        Span(start, max(start, segment.end)),
        segment.text.strip(),
        segment.avg_logprob,
        segment.no_speech_prob,
        segment.compression_ratio,
    )


def _language_code(answer: _Answer) -> str | None:
    """whisper-1 names the language in English (`english`), others by its code."""
    if answer.languages:
        return answer.languages[0].code
    return _codes().get(answer.language.lower(), answer.language) if answer.language else None


@functools.cache
def _codes() -> dict[str, str]:
    table: dict[str, str] = json.loads(Path(__file__).with_name("languages.json").read_bytes())
    return table


def _usage_of(answer: _Answer, measured_seconds: float, settings: Settings) -> Usage:
    told = answer.usage or _Usage()
    seconds = told.seconds or answer.duration or measured_seconds
    model = settings.transcribe_model
    usd = transcription_cost(model, seconds, settings, input_tokens=told.input_tokens, output_tokens=told.output_tokens)
    return Usage(
        engine="openai",
        model=model,
        audio_seconds=seconds,
        input_tokens=told.input_tokens,
        output_tokens=told.output_tokens,
        usd=usd,
    )
