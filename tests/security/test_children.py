"""What yt-dlp and ffmpeg can take, see and leave when their input is hostile."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from coop.errors import JobError
from coop.settings import Settings
from tests.support.fleet import eventually
from tests.support.media import make_media
from tests.support.stage_work import make_work
from workers.engines import ffmpeg, process
from workers.engines.child import Child
from workers.engines.deadline import Deadline
from workers.engines.nursery import Nursery, can_fork
from workers.engines.process import clean_environment, run_program
from workers.stages import transcribe

ODD_JOBS = "tests.support.odd_child"
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")


@pytest.fixture(params=["started", *(["forked"] if can_fork() else [])])
def child(request: pytest.FixtureRequest) -> Iterator[Child]:
    nursery = Nursery(ODD_JOBS) if request.param == "forked" else None
    made = Child(ODD_JOBS, begin=nursery.start if nursery else None)
    yield made
    made.close()
    if nursery:
        nursery.close()


@pytest.fixture(params=["tools", "launcher"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs are limited by util-linux's tools where they are, and by our launcher elsewhere."""
    if request.param == "launcher":
        monkeypatch.setattr(process, "_limiting_tools", tuple)
    elif not process._limiting_tools():
        pytest.skip("no setpriv and prlimit here")


either_way = pytest.mark.usefixtures("_either_way")


def ask(child: Child, method: str, **params: Any) -> dict[str, Any]:
    return child.request(method, params, Deadline(30))


# What a child knows


def test_a_child_has_an_empty_folder_for_a_home_and_it_goes_with_it(child: Child) -> None:
    seen = ask(child, "whereabouts")
    folder = Path(seen["cwd"])
    assert seen["home"] == seen["temp"] == seen["cwd"]
    assert seen["files"] == []
    child.close()

    assert not folder.exists()


def test_a_child_whose_worker_was_killed_takes_its_folder_along(tmp_path: Path) -> None:
    script = (
        "import sys; from workers.engines.child import Child; from workers.engines.deadline import Deadline\n"
        f"child = Child({ODD_JOBS!r}); print(child.request('whereabouts', {{}}, Deadline(30))['cwd'], flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(
        command, env=clean_environment(PYTHONPATH=os.getcwd()), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        folder = Path(parent.stdout.readline().strip())
        assert folder.is_dir()
        parent.kill()

    eventually(lambda: not folder.exists(), what="the end of the folder")


def test_a_child_is_given_listed_variables_only(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    given = set(ask(child, "environment"))

    ours = {"PATH", "PYTHONPATH", "PYTHONUTF8", "PYTHONDONTWRITEBYTECODE", "YTDLP_NO_PLUGINS", "LANG", "LC_CTYPE", "TZ"}
    assert given - ours <= {"HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "TMPDIR", "TEMP", "TMP", "LC_ALL"} | {
        "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"
    }  # fmt: skip


def test_configuration_and_plugins_of_the_user_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "ran"
    plugin = f"open({str(note)!r}, 'a').write('plugin')\n"
    places = [".yt-dlp", ".config/yt-dlp", ".config/yt-dlp/plugins/evil", "yt-dlp-plugins/evil", "."]
    for place in places:
        folder = tmp_path / place / "yt_dlp_plugins" / "extractor"
        folder.mkdir(parents=True)
        (folder / "evil.py").write_text(plugin)
    for name in (".yt-dlp/config", ".config/yt-dlp/config", ".config/yt-dlp.conf", "yt-dlp.conf", ".netrc"):
        (tmp_path / name).write_text(f"--exec 'before_dl:touch {note}'\n--enable-file-urls\n--proxy ''\n")
    for variable in ("HOME", "XDG_CONFIG_HOME", "USERPROFILE", "APPDATA", "PYTHONPATH"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setenv("YTDLP_CONFIG", str(tmp_path / "yt-dlp.conf"))
    monkeypatch.chdir(tmp_path)
    child = Child("workers.engines.ytdlp_child")
    params = {"proxy": "socks5h://127.0.0.1:1", "sites": ["all"], "socket_timeout": 1, "max_bytes": 10**6}
    with pytest.raises(JobError):
        ask(
            child,
            "extract",
            url="file:///etc/passwd",
            language=None,
            max_duration=9,
            cache=str(tmp_path / "c"),
            **params,
        )
    child.close()

    assert not note.exists()


# What a child may take


@posix
def test_a_childs_limits_are_set_for_it_and_what_it_starts(child: Child) -> None:
    limits = ask(child, "limits")

    assert limits["NOFILE"] == [256, 256]
    assert limits["CORE"] == [0, 0]
    assert limits["FSIZE"][0] == 2**30
    assert limits["DATA"][0] == 2 * 2**30
    assert 0 < limits["CPU"][0] <= 700


@posix
def test_a_child_cannot_open_files_without_end(child: Child) -> None:
    assert 100 < ask(child, "open_files")["opened"] < 256


@posix
def test_a_child_cannot_fill_the_disk(child: Child) -> None:
    assert ask(child, "write_a_large_file")["errno"] == 27  # EFBIG


def test_a_child_that_starts_too_many_processes_is_ended_with_all_of_them(child: Child) -> None:
    with pytest.raises(JobError, match="more than 16 processes"):
        ask(child, "start_many", count=30)
    family = psutil.Process(child.pid).children(recursive=True) if psutil.pid_exists(child.pid) else []
    child.close()

    eventually(lambda: not any(process.is_running() for process in family), what="the end of all")


@posix
@either_way
def test_a_program_that_spins_is_ended_by_the_system_too() -> None:
    done = run_program([sys.executable, "-c", "while True: pass"], Deadline(30), limits={"CPU": 1})

    assert done.returncode in (-signal.SIGXCPU, -signal.SIGKILL)


@posix
@either_way
def test_a_program_that_writes_without_end_is_ended_by_the_system_too(tmp_path: Path) -> None:
    endless = "f = open('x', 'wb')\nwhile True: f.write(bytes(2**16))"
    done = run_program([sys.executable, "-c", endless], Deadline(30), cwd=tmp_path, limits={"FSIZE": 10**6})

    assert done.returncode != 0
    assert (tmp_path / "x").stat().st_size <= 10**6


@linux
@pytest.mark.parametrize("way", ["()", "process._limiting_tools()"])
def test_an_ffmpeg_whose_worker_was_killed_ends_as_well(way: str) -> None:
    sound = ["-f", "lavfi", "-re", "-i", "sine", "-f", "null", "-"]
    script = (
        "from workers.engines import process; from workers.engines.deadline import Deadline\n"
        f"found = {way}; process._limiting_tools = lambda: found\n"
        f"process.run_program([{ffmpeg.find_ffmpeg(None)!r}, '-nostdin', *{sound!r}], Deadline(60))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], env=clean_environment(PYTHONPATH=os.getcwd())) as worker:

        def programs() -> list[psutil.Process]:
            found = psutil.Process(worker.pid).children()
            try:
                return [each for each in found if "ffmpeg" in Path(each.exe()).name]
            except psutil.Error:  # one that asked which tools there are, and has just ended
                return []

        (program,) = eventually(programs, what="ffmpeg")
        worker.kill()

    eventually(lambda: not program.is_running(), what="the end of ffmpeg")


@either_way
def test_no_shell_reads_what_a_program_is_given(tmp_path: Path) -> None:
    hostile = [
        "; touch evil",
        "$(touch evil)",
        "`touch evil`",
        "| touch evil",
        "-x",
        "--",
        "%PATH%",
        "a\nb",
        "\x1b[31m",
    ]
    done = run_program([sys.executable, "-c", "import sys; print(sys.argv[1:])", *hostile], Deadline(30), cwd=tmp_path)

    assert done.stdout.decode().strip() == repr(hostile)
    assert list(tmp_path.iterdir()) == []


# Hostile media


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("data"), max_duration_seconds=30)


def extract(path: Path, settings: Settings) -> ffmpeg.ExtractedAudio:
    return ffmpeg.extract_audio(path, path.parent, settings, Deadline(30))


@pytest.mark.parametrize(
    "name",
    ["-i", "-version.mp4", "--", "file:x.mp4", "concat:a|b", "pipe:0", "http:⁄⁄127.0.0.1", "%05d.mp4", "a b;c.mp4"],
)
def test_a_files_name_is_nothing_but_its_name(name: str, settings: Settings, tmp_path: Path) -> None:
    make_media(tmp_path / "plain.mp4")
    (tmp_path / name).write_bytes((tmp_path / "plain.mp4").read_bytes())

    assert extract(tmp_path / name, settings).duration_seconds == pytest.approx(3, abs=0.2)


LISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{path}\n#EXT-X-ENDLIST\n",
    "hls of a key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="file://{path}"\n#EXTINF:3,\n{path}\n#EXT-X-ENDLIST\n',
    "hls by concat": "#EXTM3U\n#EXTINF:3,\nconcat:{path}|{path}\n#EXT-X-ENDLIST\n",
    "hls by subfile": "#EXTM3U\n#EXTINF:3,\nsubfile,,start,0,end,64,,:{path}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile {path}\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    "<Representation id='1'><BaseURL>file://{path}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "svg": '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    '<image xlink:href="file://{path}" width="9" height="9"/></svg>',
    "smil": '<smil><body><video src="{path}"/></body></smil>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\n",
    "imf": '<?xml version="1.0"?><AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM"/>',
    "subtitles": "1\n00:00:00,000 --> 00:00:02,000\n{path}\n",
    "playlist of pls": "[playlist]\nFile1={path}\nNumberOfEntries=1\n",
}


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("name", ["v.mp4", "v.m3u8", "v.ffconcat", "v.mpd", "v.svg"])
def test_a_file_that_names_others_opens_none(kind: str, name: str, settings: Settings, tmp_path: Path) -> None:
    make_media(tmp_path / "other.ts")
    (tmp_path / name).write_text(LISTS[kind].format(path=tmp_path / "other.ts"))

    with pytest.raises(JobError, match="media_invalid"):
        extract(tmp_path / name, settings)


def test_a_tiny_file_that_claims_hours_ends_soon(settings: Settings, tmp_path: Path) -> None:
    media = bytearray(make_media(tmp_path / "plain.mp4"))
    at = -1
    while (at := media.find(b"mdhd", at + 1)) > 0:
        media[at + 16 : at + 20] = struct.pack(">I", 1)  # units of a second: every sample lasts for minutes
    (tmp_path / "bomb.mp4").write_bytes(media)

    with pytest.raises(JobError, match="too_long"):
        extract(tmp_path / "bomb.mp4", settings)


def test_a_picture_of_absurd_size_takes_no_memory(settings: Settings, tmp_path: Path) -> None:
    media = bytearray(make_media(tmp_path / "plain.mp4"))
    for field in (b"mp4v", b"tkhd"):
        at = media.index(field)
        place = at + 28 if field == b"mp4v" else at + 80
        media[place : place + 4] = struct.pack(">HH", 65535, 65535)
    (tmp_path / "bomb.mp4").write_bytes(media)

    assert extract(tmp_path / "bomb.mp4", settings).duration_seconds == pytest.approx(3, abs=0.2)


def test_a_file_of_very_many_streams_is_not_read_to_the_end(settings: Settings, tmp_path: Path) -> None:
    streams = ["-f", "lavfi", "-i", "sine=duration=0.2", *["-map", "0:a"] * 150, "-c:a", "aac"]
    subprocess.run(
        [ffmpeg.find_ffmpeg(None), "-nostdin", "-v", "error", *streams, str(tmp_path / "many.mkv")],
        check=True,
        timeout=60,
    )

    with pytest.raises(JobError, match="media_invalid"):
        extract(tmp_path / "many.mkv", settings)


def test_sound_of_a_codec_that_is_not_listed_is_not_decoded(settings: Settings, tmp_path: Path) -> None:
    make_media(tmp_path / "odd.mkv", audio_codec="tta")

    with pytest.raises(JobError, match="media_invalid"):
        extract(tmp_path / "odd.mkv", settings)


def test_tags_of_a_file_do_not_reach_what_is_kept(settings: Settings, tmp_path: Path) -> None:
    make_media(tmp_path / "v.mp4", more=("-metadata", "title=CANARY", "-metadata", "comment=CANARY"))

    assert b"CANARY" not in extract(tmp_path / "v.mp4", settings).path.read_bytes()


@pytest.mark.parametrize(
    "name", ["../../etc/cron.d/x.m4a", "/etc/passwd", "..\\..\\x.m4a", "a\x00b.mp3", "x.m4a/../../y"]
)
def test_an_audio_files_name_from_another_machine_is_no_path(name: str) -> None:
    safe = transcribe.safe_name(name)

    assert Path(safe).name == safe
    assert safe.startswith("audio")


def test_the_workspace_of_a_stage_is_all_that_is_written_to(settings: Settings, tmp_path: Path) -> None:
    work = make_work(tmp_path, settings=settings)
    media = work.workspace / "media.mp4"
    make_media(media)
    before = {path for path in tmp_path.rglob("*") if work.workspace not in path.parents}
    ffmpeg.extract_audio(media, work.workspace, settings, Deadline(30))

    assert {path for path in tmp_path.rglob("*") if work.workspace not in path.parents} == before
    assert json.dumps(sorted(path.name for path in work.workspace.iterdir())) == '["audio.m4a", "media.mp4"]'
