"""The seam to ffmpeg: media files in, audio out. ffprobe is not needed: the packaged ffmpeg comes without it.

Every call reads one local file, by an allow-list of containers and protocols: a playlist or a file that names other
files or addresses is not opened at all, whatever it is called.
"""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import imageio_ffmpeg

from coop.errors import JobError
from coop.settings import Settings
from workers.engines.deadline import Deadline
from workers.engines.process import CompletedOutput, run_program

SAMPLE_RATE = 16_000

# Containers that video sites deliver. None of them names other files; hls, dash, concat, image2 and the like do.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,flv,avi,asf,ogg,mp3,aac,flac,wav,w64,amr,ac3,eac3,caf,aiff"
)
_READ_SAFELY = ("-protocol_whitelist", "file,pipe", "-format_whitelist", _CONTAINERS)

# What the transcription APIs take, by the codec that ffmpeg names: the extension and ffmpeg's name of the container.
_COPIED_INTO = {
    "aac": ("m4a", "ipod"),
    "mp3": ("mp3", "mp3"),
    "opus": ("ogg", "ogg"),
    "vorbis": ("ogg", "ogg"),
    "flac": ("flac", "flac"),
    "pcm_s16le": ("wav", "wav"),
}
# A stream line starts its line; text of the file's own tags never does.
_STREAM = re.compile(r"^ +Stream #0:\d+\S*: (?P<kind>Audio|Video): (?P<codec>\w+)(?P<rest>.*)$", re.MULTILINE)


class Extracted(NamedTuple):
    """An audio file taken out of a media file. `duration_seconds`: the length of the whole media, measured."""

    path: Path
    codec: str
    copied: bool
    duration_seconds: float


class MediaStreams(NamedTuple):
    """The codecs of the streams of a file, audio in the order of the file. Cover pictures do not count as video."""

    audio: tuple[str, ...]
    video: tuple[str, ...]


@functools.cache
def find_ffmpeg(configured: str | None) -> str:
    """The ffmpeg to run: the one that is configured, else the machine's, else the packaged one.

    Raises JobError `internal` when there is none.
    """
    if configured:
        found = shutil.which(configured)
        if found is None:
            raise JobError("internal", f"COOP_FFMPEG names {configured}, which is not a program.")
        return found
    try:
        return shutil.which("ffmpeg") or str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise JobError("internal", "There is no ffmpeg on this machine.") from error


def decode_pcm(path: Path, settings: Settings, deadline: Deadline) -> bytes:
    """The first audio stream of `path` as PCM: 16 kHz, mono, signed 16 bit little endian.

    At most `settings.max_duration_seconds` and a minute are decoded. Raises JobError `no_audio`, `media_invalid`,
    `timed_out`.
    """
    output = ("-map", "0:a:0", "-ac", "1", "-ar", str(SAMPLE_RATE), "-t", _longest(settings), "-f", "s16le", "pipe:1")
    done = _run(settings, deadline, path, output)
    if done.returncode != 0 and not done.stdout:
        raise _error_of(done)
    return done.stdout


def _longest(settings: Settings) -> str:
    return str(settings.max_duration_seconds + 60)


def _run(settings: Settings, deadline: Deadline, path: Path, output: Sequence[str]) -> CompletedOutput:
    args = [find_ffmpeg(settings.ffmpeg), "-nostdin", "-hide_banner", "-y", *_READ_SAFELY]
    return run_program([*args, "-i", f"file:{path}", *output], deadline, cwd=path.parent)


def _error_of(done: CompletedOutput) -> JobError:
    if "matches no streams" in done.stderr:
        return JobError("no_audio")
    return JobError("media_invalid")
