"""Stage transcribe: what is said in the video, with times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from coop.errors import JobError
from coop.results import Captions, Segment, Transcript
from workers.engines import transcriber
from workers.engines.ffmpeg import decode_pcm
from workers.engines.plain_text import clean
from workers.engines.transcriber.heard import Heard
from workers.engines.transcriber.speech import Span, total_seconds
from workers.stages.work import Work

# Four hours of fast speech.
_MAX_CHARS = 300_000
_MAX_SEGMENT_CHARS = 10_000

_WORD = re.compile(r"[^\W_]+(?:['’.,-][^\W_]+)*")
# Chinese, Japanese, Thai, Lao and Khmer are written without spaces; two of their characters make about one word.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def run(work: Work) -> Transcript:
    """The uploader's captions where the caller lets them stand in, else what the engine hears.

    Raises JobError as the engines do, and `download_failed` when the audio is gone, which is passing: the job store
    has a job without its audio begin again with the download.
    """
    captions = _usable_captions(work)
    if captions is not None:
        return _transcript(captions.segments, captions.language, engine="captions")
    audio = _audio_file(work)
    pcm = decode_pcm(audio, work.settings, work.deadline)
    heard = transcriber.transcribe(audio, pcm, work.job.options.language, work.settings, work.deadline)
    return _transcript_of(heard, transcriber.engine_name(work.settings))


def count_words(text: str) -> int:
    """Words of a text in any language; a number or a compound with a hyphen is one."""
    unspaced = len(_UNSPACED.findall(text))
    return len(_WORD.findall(_UNSPACED.sub(" ", text))) + (unspaced + 1) // 2


def _usable_captions(work: Work) -> Captions | None:
    options, download = work.job.options, work.found.download
    if options.captions != "prefer" or download is None or download.captions is None:
        return None
    captions = download.captions
    if options.language and _primary(options.language) != _primary(captions.language):
        return None
    return captions if any(count_words(segment.text) for segment in captions.segments) else None


def _primary(language: str) -> str:
    return language.split("-")[0].lower()


def _audio_file(work: Work) -> Path:
    """The audio that download left, as a file in the workspace."""
    content = work.artifacts.load("audio")
    if work.found.download is None or content is None:
        raise JobError("download_failed", "The downloaded audio is no longer kept.")
    path = work.workspace / safe_name(work.found.download.file_name)
    path.write_bytes(content)
    return path


def safe_name(name: str) -> str:
    """A plain file name that any system takes, with the ending of `name`."""
    ending = Path(name.replace("\\", "/")).suffix.lower()
    return "audio" + (ending if re.fullmatch(r"\.[a-z0-9]{1,8}", ending) else "")


def _transcript_of(heard: Heard, engine: str) -> Transcript:
    segments = [
        Segment(start=round(each.span.start, 2), end=round(each.span.end, 2), text=each.text) for each in heard.segments
    ]
    transcript = _transcript(segments, heard.language, engine=engine, speech_seconds=heard.speech_seconds)
    return transcript.model_copy(update={"usage": heard.usage})


def _bounded(segments: Iterable[Segment]) -> Iterator[Segment]:
    """The segments that hold text, cleaned, until it is more than anybody says in a video that is taken."""
    left = _MAX_CHARS
    for segment in segments:
        text = clean(segment.text[:_MAX_CHARS], min(_MAX_SEGMENT_CHARS, left))
        left -= len(text)
        if text:
            yield segment.model_copy(update={"text": text})


def _transcript(
    segments: Iterable[Segment], language: str | None, *, engine: str, speech_seconds: float | None = None
) -> Transcript:
    kept = tuple(_bounded(segments))
    text = " ".join(segment.text for segment in kept)
    if not text:
        return Transcript(engine=engine)
    seconds = speech_seconds or total_seconds(Span(segment.start, segment.end) for segment in kept)
    pace = round(count_words(text) * 60 / seconds, 1) if seconds else None
    return Transcript(text=text, language=language, segments=kept, words_per_minute=pace, engine=engine)
