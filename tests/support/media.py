"""Small media files, made by ffmpeg once per test session."""

from __future__ import annotations

import subprocess
from pathlib import Path

from workers.engines.ffmpeg import find_ffmpeg

_PICTURE = ("-f", "lavfi", "-i", "testsrc=size=90x160:rate=10:duration={seconds}")
_SOUNDS = {
    "tone": "sine=frequency=440:duration={seconds}",
    "silence": "anullsrc=channel_layout=mono:sample_rate=44100:duration={seconds}",
    "music": "aevalsrc=0.2*sin(2*PI*220*t)+0.2*sin(2*PI*277*t)+0.2*sin(2*PI*330*t)*mod(t\\,1):duration={seconds}",
}


def make_media(
    path: Path,
    *,
    seconds: float = 3,
    sound: str | None = "tone",
    picture: bool = True,
    audio_codec: str = "aac",
    cover: Path | None = None,
    more: tuple[str, ...] = (),
) -> bytes:
    """Write a media file in the container of `path`'s extension, and give back its bytes.

    `sound`: `tone`, `silence`, `music` or None for a silent film; `cover`: a picture to attach;
    `more`: further output options of ffmpeg.
    """
    inputs: list[str] = []
    if picture:
        inputs += [part.format(seconds=seconds) for part in _PICTURE]
    if sound:
        inputs += ["-f", "lavfi", "-i", _SOUNDS[sound].format(seconds=seconds)]
    if cover:
        inputs += ["-i", str(cover), "-map", "0", "-map", "1", "-disposition:v:0", "attached_pic"]
    codecs = ["-c:v", "mpeg4", "-q:v", "20"] if picture else []
    codecs += ["-c:a", audio_codec, "-b:a", "48k"] if sound else []
    command = [find_ffmpeg(None), "-nostdin", "-v", "error", "-y", *inputs, *codecs, *more, str(path)]
    subprocess.run(command, check=True, timeout=60)
    return path.read_bytes()


def tree_of(folder: Path) -> set[str]:
    """What lies in a folder, by relative path."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
