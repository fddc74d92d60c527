"""A video site on loopback, small media, and a watch on what the engines leave behind."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from coop.settings import Settings
from tests.support.media import make_media
from tests.support.sites import Site, running_site
from tests.support.stage_work import make_work
from workers.engines import ytdlp
from workers.stages.work import Work

MakeWork = Callable[..., Work]


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


@pytest.fixture
def private_site() -> Iterator[Site]:
    """A site at an address that may not be reached."""
    try:
        private = Site("127.0.0.2")
    except OSError:  # macOS has one loopback address of IPv4 only
        private = Site("::1")
    yield private
    private.close()


@pytest.fixture(scope="session")
def temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that children take for temporary files."""
    folder = tmp_path_factory.mktemp("temporary-files")
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("TMPDIR", "TEMP", "TMP"):
            patch.setenv(variable, str(folder))
        yield folder


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory, temporary_files: Path) -> Iterator[Settings]:
    """127.0.0.1 may be reached, other loopback addresses may not. One for all tests, so that children stay warm."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ytdlp, "FORKED_IDLE_SECONDS", 3600)  # none ends while a test's processes are counted
        yield Settings(
            data_dir=tmp_path_factory.mktemp("data"),
            allow_networks=(ipaddress.ip_network("127.0.0.1/32"),),
            sites=("all",),
            max_media_bytes=2**20,
            max_duration_seconds=30,
            socket_timeout_seconds=2,
        )
    ytdlp.close()


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Three seconds of picture and tone; readable from the start of the file on."""
    return make_media(tmp_path_factory.mktemp("media") / "video.mp4", more=("-movflags", "+faststart"))


@pytest.fixture
def work_on(tmp_path: Path, settings: Settings) -> MakeWork:
    """Work on the video at a URL; the rest as `make_work`."""

    def make(url: str, **more: object) -> Work:
        work = make_work(tmp_path, settings=settings, **{"seconds": 40, **more})  # type: ignore[arg-type]  # passed on
        return dataclasses.replace(work, job=dataclasses.replace(work.job, video_url=url))

    return make


@pytest.fixture(autouse=True)
def _nothing_is_left(temporary_files: Path) -> Iterator[None]:
    """After every test: no process but yt-dlp's idle children without children of their own, and only their folders."""
    before = set(psutil.Process().children(recursive=True))
    files_before = set(temporary_files.rglob("*"))  # onnxruntime leaves one, if an earlier test has loaded it
    yield
    for process in set(psutil.Process().children(recursive=True)) - before:
        assert "workers.engines.ytdlp_child" in process.cmdline()
        assert process.ppid() == psutil.Process().pid or "workers.engines.nursery_main" in process.parent().cmdline()
    folders = {child.cwd() for child in psutil.Process().children(recursive=True)}
    assert {str(path) for path in set(temporary_files.rglob("*")) - files_before} <= folders
