"""A disk that is full, and child processes that eat memory, sleep for ever or leave a child of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pytest

from coop.jobs import JobStatus, Stage, StageStatus
from tests.support.fleet import Fleet, Worker, eventually
from tests.support.media import make_media
from tests.support.sites import Site, running_site

SMALL_DISK_KB = 256


def error_of(fleet: Fleet, request_id: str) -> tuple[str, str]:
    error = json.loads(fleet.store.outcome(fleet.job(request_id).id) or b"")["error"]
    return error["code"], error["stage"]


def asking(method: str, **params: object) -> str:
    return "https://stub/?" + urlencode({"download.child": method, "download.params": json.dumps(params)})


def children_of(worker: Worker) -> list[psutil.Process]:
    celery = worker.celery()
    assert celery
    return [each for each in celery.children(recursive=True) if "tests.support.odd_child" in each.cmdline()]


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("fill_memory", {"bytes": 400 * 2**20}, "internal"),
        ("pid", {"wait": 60}, "timed_out"),
        ("exit", {"code": 3}, "internal"),
    ],
    ids=["eats memory", "sleeps for ever", "ends itself"],
)
def test_a_child_that_misbehaves_costs_its_own_job_only(
    fleet: Fleet, method: str, params: dict[str, object], code: str
) -> None:
    worker = fleet.start(download_deadline_seconds="4")
    fleet.submit("bad", asking(method, **params))
    fleet.submit("good")

    assert fleet.ended("bad", 60).status is JobStatus.FAILED
    assert error_of(fleet, "bad") == (code, Stage.DOWNLOAD)
    assert fleet.ended("good").status is JobStatus.SUCCEEDED
    assert children_of(worker) == []


@pytest.mark.parametrize("end", ["cancel", "kill"])
def test_a_grandchild_goes_with_its_stage(fleet: Fleet, tmp_path: Path, end: str) -> None:
    worker = fleet.start()
    note = tmp_path / "grandchild"
    job_id = fleet.submit("r1", asking("start_a_sleeper_and_wait", note=str(note)))
    sleeper = psutil.Process(int(eventually(lambda: note.exists() and note.read_text())))
    family = [*children_of(worker), sleeper]

    if end == "cancel":
        fleet.store.cancel(job_id)
    else:
        worker.kill()

    assert len(family) == 2
    eventually(lambda: all(map(has_ended, family)), what="the end of the child and of its child")


def on_a_small_disk(worker: Worker) -> None:
    """Put the worker's data folder on a file system of its own; where the system gives none, bound its files."""
    worker.data_dir.mkdir(parents=True)
    if subprocess.run(["unshare", "-rm", "true"], check=False, stderr=subprocess.DEVNULL).returncode == 0:
        mount = f"mount -t tmpfs -o size={SMALL_DISK_KB}k tmpfs '{worker.data_dir}' && exec \"$@\""
        worker.command = ["unshare", "-rm", "sh", "-c", mount, "sh", *worker.command]
    else:
        worker.command = ["sh", "-c", f'ulimit -f {2 * SMALL_DISK_KB}; exec "$@"', "sh", *worker.command]


@pytest.mark.skipif(sys.platform == "win32", reason="neither tmpfs nor ulimit")
def test_a_download_that_fills_the_disk_fails_cleanly_and_the_next_one_has_room(fleet: Fleet, tmp_path: Path) -> None:
    large = make_media(tmp_path / "large.mp4", seconds=60, more=("-b:a", "192k", "-movflags", "+faststart"))
    small = make_media(tmp_path / "small.mp4", seconds=1, more=("-movflags", "+faststart"))
    assert len(small) * 3 < SMALL_DISK_KB * 1024 < len(large)
    with running_site() as site:
        worker = Worker(
            fleet.redis_url, tmp_path, "tight", stub={"real": "metadata,download"}, sites="all", lease_seconds="3"
        )
        on_a_small_disk(worker)
        fleet.workers.append(worker.start())
        worker.wait_until_ready()
        outcomes = {name: run(fleet, site, name, media) for name, media in (("large", large), ("small", small))}

    assert outcomes["large"] is JobStatus.FAILED
    assert error_of(fleet, "large")[1] == Stage.DOWNLOAD
    print(f"a full disk ends in {error_of(fleet, 'large')}")  # noqa: T201  # the code that it comes out as
    assert outcomes["small"] is JobStatus.SUCCEEDED
    assert fleet.job("large").stages[1].status is StageStatus.FAILED


def run(fleet: Fleet, site: Site, name: str, media: bytes) -> JobStatus:
    fleet.submit(name, site.add_video(name, media))
    return fleet.ended(name, 60).status
