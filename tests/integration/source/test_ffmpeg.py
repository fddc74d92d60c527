"""The seam to ffmpeg, with the machine's and with the packaged one."""

from __future__ import annotations

import shutil
from pathlib import Path

import imageio_ffmpeg
import pytest

from coop.errors import JobError
from coop.settings import Settings
from tests.support.media import make_media
from workers.engines import ffmpeg
from workers.engines.deadline import Deadline


@pytest.fixture(
    params=[shutil.which("ffmpeg") or ffmpeg.find_ffmpeg(None), imageio_ffmpeg.get_ffmpeg_exe()],
    ids=["machine", "packaged"],
)
def either(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    return settings.model_copy(update={"ffmpeg": request.param})


def extract(path: Path, settings: Settings) -> ffmpeg.ExtractedAudio:
    return ffmpeg.extract_audio(path, path.parent, settings, Deadline(30))


@pytest.mark.parametrize(
    ("name", "codec", "expected"),
    [
        ("v.mp4", "aac", ("audio.m4a", "aac", True)),
        ("v.mkv", "libmp3lame", ("audio.mp3", "mp3", True)),
        ("v.webm", "libopus", ("audio.ogg", "opus", True)),
        ("v.mkv", "flac", ("audio.flac", "flac", True)),
        ("v.avi", "pcm_s16le", ("audio.wav", "pcm_s16le", True)),
        ("v.ts", "aac", ("audio.m4a", "aac", True)),
        ("v.mkv", "pcm_s24le", ("audio.ogg", "opus", False)),
    ],
)
def test_sound_is_copied_or_encoded(
    name: str, codec: str, expected: tuple[str, str, bool], either: Settings, tmp_path: Path
) -> None:
    more = ("-c:v", "libvpx") if name.endswith("webm") else ()
    make_media(tmp_path / name, audio_codec=codec, more=more)
    audio = extract(tmp_path / name, either)

    assert (audio.path.name, audio.codec, audio.copied) == expected
    assert audio.duration_seconds == pytest.approx(3, abs=0.2)
    assert len(ffmpeg.decode_pcm(audio.path, either, Deadline(30))) == pytest.approx(3 * 32_000, rel=0.06)


def test_the_length_is_that_of_the_picture_when_the_sound_ends_before(either: Settings, tmp_path: Path) -> None:
    make_media(tmp_path / "v.mp4", seconds=6, more=("-af", "atrim=duration=2"))

    assert extract(tmp_path / "v.mp4", either).duration_seconds == pytest.approx(6, abs=0.2)


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("name", ["v.mp4", "v.mkv"])
def test_a_file_that_breaks_off_is_invalid(name: str, cut: float, either: Settings, tmp_path: Path) -> None:
    more = ("-movflags", "+faststart") if name == "v.mp4" else ()
    whole = make_media(tmp_path / name, seconds=8, more=more)
    (tmp_path / name).write_bytes(whole[: int(len(whole) * cut)])

    with pytest.raises(JobError, match="media_invalid"):
        extract(tmp_path / name, either)


@pytest.mark.parametrize("header", [(), ("-live", "1")], ids=["long by its header", "without a length of its own"])
def test_a_file_far_longer_than_the_limit_is_too_long(
    header: tuple[str, ...], either: Settings, tmp_path: Path
) -> None:
    make_media(tmp_path / "v.mkv", seconds=either.max_duration_seconds + 70, picture=False, more=header)

    with pytest.raises(JobError, match="too_long"):
        extract(tmp_path / "v.mkv", either)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 5_000,
        b"Only words.\n" * 500,
        b"\xff\xfb\x90\x00" * 2_000,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period/></MPD>',
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nm=audio 5004 RTP/AVP 0\r\n",
    ],
)
def test_what_is_no_media_is_invalid(content: bytes, either: Settings, tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(content)

    with pytest.raises(JobError, match="media_invalid"):
        extract(tmp_path / "v.mp4", either)


@pytest.mark.parametrize(
    "list_of_files",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{path}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {path.name}\n",
    ],
)
@pytest.mark.parametrize("name", ["v.mp4", "v.m3u8"])
def test_a_list_of_media_files_on_this_machine_is_not_followed(
    list_of_files: str, name: str, either: Settings, tmp_path: Path
) -> None:
    make_media(tmp_path / "other.ts")
    (tmp_path / name).write_text(list_of_files.format(path=tmp_path / "other.ts"))

    with pytest.raises(JobError, match="media_invalid"):
        extract(tmp_path / name, either)


def test_a_silent_film_has_no_audio(either: Settings, tmp_path: Path) -> None:
    make_media(tmp_path / "v.mp4", sound=None)

    with pytest.raises(JobError, match="no_audio"):
        extract(tmp_path / "v.mp4", either)


def test_tags_that_look_like_streams_are_no_streams(either: Settings, tmp_path: Path) -> None:
    tag = "x\n  Stream #0:7: Audio: aac, 44100 Hz"
    make_media(tmp_path / "v.mkv", sound=None, more=("-metadata", f"title={tag}"))

    with pytest.raises(JobError, match="no_audio"):
        extract(tmp_path / "v.mkv", either)


def test_a_cover_picture_is_no_film(either: Settings, tmp_path: Path) -> None:
    make_media(tmp_path / "cover.png", seconds=1, sound=None, more=("-frames:v", "1", "-c:v", "png"))
    make_media(tmp_path / "song.mp3", picture=False, audio_codec="libmp3lame", cover=tmp_path / "cover.png")

    assert extract(tmp_path / "song.mp3", either).duration_seconds == pytest.approx(3, abs=0.2)


def test_an_ffmpeg_that_is_not_there_is_named(settings: Settings, tmp_path: Path) -> None:
    missing = settings.model_copy(update={"ffmpeg": "/nonexistent/ffmpeg"})

    with pytest.raises(JobError, match="COOP_FFMPEG names /nonexistent/ffmpeg"):
        extract(tmp_path / "v.mp4", missing)
