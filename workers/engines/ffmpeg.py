"""The seam to ffmpeg: media files in, audio out. ffprobe is not needed: the packaged ffmpeg comes without it.

Every call reads one local file, by an allow-list of containers and protocols: a playlist or a file that names other
files or addresses is not opened at all, whatever it is called.
"""

from __future__ import annotations

import functools
import math
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
_MOST_THREADS = 4

# Containers that video sites deliver. None of them names other files; hls, dash, concat, image2 and the like do.
_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,flv,avi,asf,ogg,mp3,aac,flac,wav,w64,amr,ac3,eac3,caf,aiff"
)
# What they hold. Pictures are not decoded but for their size, where a container does not tell it.
_CODECS = (
    "aac,aac_latm,mp1,mp2,mp3,mp1float,mp2float,mp3float,opus,libopus,vorbis,libvorbis,flac,alac,ac3,eac3,"
    "amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,wmav1,wmav2,adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,adpcm_swf,"
    "nellymoser,speex,libspeex,gsm,gsm_ms,pcm_alaw,pcm_mulaw,pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,"
    "pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,"
    "h264,hevc,vp8,vp9,av1,libdav1d,mpeg1video,mpeg2video,mpeg4,h263,flv,theora,"
    "wmv1,wmv2,wmv3,msmpeg4v2,msmpeg4,mjpeg,png"
)
_READ_SAFELY = (
    *("-protocol_whitelist", "file,pipe", "-format_whitelist", _CONTAINERS, "-codec_whitelist", _CODECS),
    *("-max_streams", "100"),
)

# What the transcription APIs take, by the codec that ffmpeg names: the extension and ffmpeg's name of the container.
_COPIED_INTO = {
    "aac": ("m4a", "ipod"),
    "mp3": ("mp3", "mp3"),
    "opus": ("ogg", "ogg"),
    "vorbis": ("ogg", "ogg"),
    "flac": ("flac", "flac"),
    "pcm_s16le": ("wav", "wav"),
}
# Speech loses nothing at these; half an hour takes 7 MB.
_ENCODED = ("-ac", "1", "-ar", str(SAMPLE_RATE), "-c:a", "libopus", "-b:a", "32k", "-application", "voip")

# What the artifact store and the transcription APIs take, with room for the request around it.
MAX_AUDIO_BYTES = 25_000_000

# These start their lines; text of the file's own tags never does.
_STREAM = re.compile(r"^ +Stream #0:\d+\S*: (?P<kind>Audio|Video): (?P<codec>\w+)(?P<rest>.*)$", re.MULTILINE)
_CLAIMED = re.compile(r"^  Duration: (\d+):(\d+):(\d+(?:\.\d+)?)", re.MULTILINE)
_MEASURED = re.compile(rb"^out_time_us=(\d+)", re.MULTILINE)


class ExtractedAudio(NamedTuple):
    """An audio file taken out of a media file. `duration_seconds`: the length of the whole media, measured."""

    path: Path
    codec: str
    copied: bool
    duration_seconds: float


class _Probe(NamedTuple):
    """What a file's header says of itself: the codecs of its audio streams, and its length in seconds."""

    audio: tuple[str, ...]
    claimed_seconds: float | None


@functools.cache
def find_ffmpeg(configured: str | None) -> str:
    """The ffmpeg to run: the one that is configured, else the packaged one, else the machine's.

    The packaged one is linked as a whole and starts in 15 ms; a distribution's loads 200 libraries first, which takes
    75 ms of CPU, three times a video. Raises JobError `internal` when there is none.
    """
    if configured:
        found = shutil.which(configured)
        if found is None:
            raise JobError("internal", f"COOP_FFMPEG names {configured}, which is not a program.")
        return found
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())  # the machine's, where the package brings none
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


def extract_audio(media: Path, folder: Path, settings: Settings, deadline: Deadline) -> ExtractedAudio:
    """Take the first audio stream of `media` out into `folder`, as a file that every transcriber reads.

    It is copied as it is where its codec and its size will do, and else encoded as Opus. Raises JobError `no_audio`,
    `media_invalid` (unreadable, or shorter than it says), `too_long`, `too_large`, `timed_out`.
    """
    probe = _probe(media, settings, deadline)
    _refuse_long(probe.claimed_seconds, settings)
    audio: ExtractedAudio | None = None
    if probe.audio[0] in _COPIED_INTO:
        audio = _copy_audio(media, probe.audio[0], folder, settings, deadline)
    if audio is None or audio.path.stat().st_size > MAX_AUDIO_BYTES:
        audio = _encode_audio(media, folder, settings, deadline)
    if audio.path.stat().st_size > MAX_AUDIO_BYTES:
        raise JobError("too_large", "The sound of the video is larger than this service takes.")
    # Reading stops a minute behind the limit, so a file without a length of its own ends there and is not truncated.
    _refuse_long(audio.duration_seconds, settings)
    _refuse_truncated(probe.claimed_seconds, audio.duration_seconds)
    return audio


def _probe(media: Path, settings: Settings, deadline: Deadline) -> _Probe:
    # Without an output ffmpeg describes the input and fails.
    done = _run(settings, deadline, media, ())
    streams = [(found["kind"], found["codec"]) for found in _STREAM.finditer(done.stderr)]
    if not streams:
        raise JobError("media_invalid")
    audio = tuple(codec for kind, codec in streams if kind == "Audio" and codec != "none")
    if not audio:
        raise JobError("no_audio")
    claimed = _CLAIMED.search(done.stderr)
    if claimed is None:
        return _Probe(audio, None)
    hours, minutes, seconds = claimed.groups()
    return _Probe(audio, int(hours) * 3600 + int(minutes) * 60 + float(seconds))


def _copy_audio(media: Path, codec: str, folder: Path, settings: Settings, deadline: Deadline) -> ExtractedAudio:
    extension, container = _COPIED_INTO[codec]
    target = folder / f"audio.{extension}"
    seconds = _take_out(media, target, ("-c", "copy", "-f", container), settings, deadline)
    return ExtractedAudio(target, codec, copied=True, duration_seconds=seconds)


def _encode_audio(media: Path, folder: Path, settings: Settings, deadline: Deadline) -> ExtractedAudio:
    target = folder / "audio.ogg"
    seconds = _take_out(media, target, (*_ENCODED, "-f", "ogg"), settings, deadline)
    return ExtractedAudio(target, "opus", copied=False, duration_seconds=seconds)


def _take_out(media: Path, target: Path, how: Sequence[str], settings: Settings, deadline: Deadline) -> float:
    """Write the first audio stream to `target`; the length of the longest stream, in seconds.

    Video is read through beside it, undecoded, so that the length is that of the media and not of its sound alone.
    The sound is decoded as well: a stream that only looks like one is found out here.
    """
    longest = ("-t", _longest(settings))
    plain = ("-map_metadata", "-1", "-map_chapters", "-1", "-fs", str(MAX_AUDIO_BYTES + 2**20))
    output = ("-map", "0:a:0", *longest, *plain, *how, f"file:{target}")
    check = ("-map", "0:a:0", *longest, "-f", "null", "-", "-map", "0:V?", *longest, "-c", "copy", "-f", "null", "-")
    done = _run(settings, deadline, media, (*output, *check, "-progress", "pipe:1"))
    measured = _MEASURED.findall(done.stdout)
    if done.returncode != 0 or not measured or int(measured[-1]) == 0:
        raise _error_of(done)
    return int(measured[-1]) / 1_000_000


def _refuse_long(seconds: float | None, settings: Settings) -> None:
    limit = settings.max_duration_seconds
    # A second of grace: sites round the duration that the stage metadata has let through.
    if seconds and seconds > limit + 1:
        raise JobError("too_long", f"The video is longer than the {limit} s that are taken at most.")


def _refuse_truncated(claimed: float | None, measured: float) -> None:
    # Headers are rounded, and some count the last frame in and some do not; a file that was cut off is off by more.
    if claimed and claimed - measured > max(1.0, claimed * 0.05):
        raise JobError("media_invalid", f"The file breaks off: {measured:.0f} s of the {claimed:.0f} s that it names.")


def _longest(settings: Settings) -> str:
    return str(settings.max_duration_seconds + 60)


def _run(settings: Settings, deadline: Deadline, path: Path, output: Sequence[str]) -> CompletedOutput:
    # Where the system knows no limits, ffmpeg's own ends one that a killed worker left behind. Both count all threads.
    seconds = math.ceil(deadline.remaining() * _MOST_THREADS)
    limits = {"CPU": seconds, "FSIZE": MAX_AUDIO_BYTES + 2**21}
    args = [find_ffmpeg(settings.ffmpeg), "-nostdin", "-hide_banner", "-y", "-timelimit", str(seconds), *_READ_SAFELY]
    return run_program([*args, "-i", f"file:{path}", *output], deadline, cwd=path.parent, limits=limits)


def _error_of(done: CompletedOutput) -> JobError:
    if "matches no streams" in done.stderr:
        return JobError("no_audio")
    return JobError("media_invalid")
