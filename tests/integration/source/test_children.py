"""Children can be killed with all that they started, die with their parent, and are replaced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from coop.errors import Cancelled, JobError
from coop.settings import Settings
from tests.integration.source.conftest import MakeWork
from tests.support.sites import Site, endless, never, page, watch_page
from workers.engines import ffmpeg, process, ytdlp
from workers.engines.child import Child, ChildPool
from workers.engines.deadline import Deadline
from workers.engines.nursery import Nursery, can_fork, has_ended
from workers.engines.process import clean_environment, run_program
from workers.stages import download

ODD_JOBS = "tests.support.odd_child"
MakeChild = Callable[..., Child]


def eventually(holds: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether `holds` comes true in time."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


def cancelled_once(holds: Callable[[], bool]) -> threading.Event:
    """An event that is set as soon as `holds`."""
    event = threading.Event()

    def watch() -> None:
        eventually(holds)
        event.set()

    threading.Thread(target=watch, daemon=True).start()
    return event


WAYS = ["started", *(["forked"] if can_fork() else [])]


@pytest.fixture(params=WAYS)
def make_child(request: pytest.FixtureRequest) -> Iterator[MakeChild]:
    """Makes children; every promise holds for those that are started and for those that are forked."""
    nursery = Nursery(ODD_JOBS) if request.param == "forked" else None
    yield partial(Child, ODD_JOBS, begin=nursery.start if nursery else None)
    if nursery:
        nursery.close()


@pytest.fixture
def child(make_child: MakeChild) -> Child:
    return make_child()


def test_a_cancel_in_the_middle_of_a_download_ends_its_process(
    site: Site, work_on: MakeWork, settings: Settings, video: bytes
) -> None:
    media = site.add("/slow.mp4", endless("video/mp4", video, bytes(10), pause_seconds=0.1))
    cancelled = cancelled_once(lambda: "/slow.mp4" in site.requests)
    work = work_on(site.add("/slow", page(watch_page(media))), cancelled=cancelled)

    with pytest.raises(Cancelled):
        download.run(work)


def test_a_cancel_ends_grandchildren_too(child: Child, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    cancelled = cancelled_once(lambda: note.exists() and note.read_text() != "")
    with pytest.raises(Cancelled):
        child.request("start_a_sleeper_and_wait", {"note": str(note)}, Deadline(30, cancelled))
    child.close()

    assert not psutil.pid_exists(int(note.read_text()))


@pytest.mark.parametrize("way", WAYS)
def test_a_child_dies_with_its_parent_and_takes_its_own_along(way: str, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    begin = f", begin=Nursery({ODD_JOBS!r}).start" if way == "forked" else ""
    script = (
        "from workers.engines.child import Child\n"
        "from workers.engines.nursery import Nursery\n"
        "from workers.engines.deadline import Deadline\n"
        f"Child({ODD_JOBS!r}{begin}).request('start_a_sleeper_and_wait', {{'note': {str(note)!r}}}, Deadline(60))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], env=clean_environment(PYTHONPATH=os.getcwd()))
    assert eventually(lambda: note.exists() and note.read_text() != "")
    family = psutil.Process(parent.pid).children(recursive=True)
    parent.kill()
    parent.wait()

    assert len(family) == (3 if way == "forked" else 2)
    assert eventually(lambda: not any(member.is_running() for member in family))


def test_a_crash_is_a_passing_error_that_names_the_child(child: Child) -> None:
    with pytest.raises(JobError, match=f"{ODD_JOBS} ended by itself with exit code 7") as caught:
        child.request("exit", {"code": 7}, Deadline(30))

    assert (caught.value.code, caught.value.passing) == ("internal", True)


def test_what_a_library_prints_is_not_taken_for_an_answer(child: Child) -> None:
    assert child.request("print", {"text": '{"result": {"from": "print"}}'}, Deadline(30)) == {"printed": True}
    child.close()


def test_an_unforeseen_exception_is_an_internal_error_and_the_child_lives_on(child: Child) -> None:
    with pytest.raises(JobError, match="ZeroDivisionError"):
        child.request("divide", {"by": 0}, Deadline(30))

    assert child.request("divide", {"by": 1}, Deadline(30)) == {"quotient": 1}
    child.close()


def test_a_child_sees_no_secret_of_the_worker(make_child: MakeChild, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "COOP_REDIS_URL", "HTTPS_PROXY", "NO_PROXY", "PYTHONSTARTUP"):
        monkeypatch.setenv(variable, "secret")
    child = make_child()
    seen = child.request("environment", {}, Deadline(30))
    child.close()

    assert "secret" not in json.dumps(seen)


def test_a_child_that_takes_too_much_memory_is_ended(make_child: MakeChild) -> None:
    pool = ChildPool(lambda: make_child(memory_bytes=100 * 2**20))
    with pytest.raises(JobError, match="more than 100 MiB"):
        pool.request("fill_memory", {"bytes": 200 * 2**20}, Deadline(30))

    assert pool.idle_pids() == []


def test_a_child_is_replaced_after_its_number_of_requests(make_child: MakeChild) -> None:
    pool = ChildPool(make_child, requests_per_child=2)
    pids = [pool.request("pid", {}, Deadline(30))["pid"] for _ in range(3)]
    pool.close()

    assert pids[0] == pids[1] != pids[2]


def test_an_idle_child_that_was_killed_is_replaced(make_child: MakeChild) -> None:
    pool = ChildPool(make_child)
    killed = pool.request("pid", {}, Deadline(30))["pid"]
    psutil.Process(killed).kill()
    assert eventually(lambda: pool.idle_pids() == [])

    assert pool.request("pid", {}, Deadline(30))["pid"] != killed
    pool.close()


def test_an_idle_child_is_ended(make_child: MakeChild) -> None:
    pool = ChildPool(make_child, idle_seconds=0.2)
    pid = pool.request("pid", {}, Deadline(30))["pid"]

    assert eventually(lambda: not psutil.pid_exists(pid))
    pool.close()


@pytest.mark.skipif(not can_fork(), reason="where children are not forked, a new one takes seconds")
def test_idle_children_of_yt_dlp_end_soon_where_new_ones_are_forked(
    settings: Settings, temporary_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ytdlp, "FORKED_IDLE_SECONDS", 0.2)
    own = settings.model_copy(update={"sites": ("youtube",)})
    before = set(os.listdir(temporary_files))
    ytdlp.check_sites(own, Deadline(60))
    nursery = ytdlp._tool(own)._nursery
    assert nursery
    parent = psutil.Process(nursery.pid)

    # Its folder goes last.
    assert eventually(lambda: parent.children() == [] and set(os.listdir(temporary_files)) == before)


def test_requests_at_once_get_a_child_each(make_child: MakeChild) -> None:
    pool = ChildPool(make_child)
    barrier_seen: list[int] = []
    threads = [
        threading.Thread(target=lambda: barrier_seen.append(pool.request("pid", {"wait": 0.5}, Deadline(30))["pid"]))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool.close()

    assert len(set(barrier_seen)) == 2


def test_a_deadline_ends_ffmpeg(settings: Settings) -> None:
    endless_sound = ("-f", "lavfi", "-re", "-i", "sine", "-f", "null", "-")
    with pytest.raises(JobError, match="timed_out"):
        run_program([ffmpeg.find_ffmpeg(None), "-nostdin", *endless_sound], Deadline(0.5))


def test_a_program_that_is_not_there_is_an_internal_error() -> None:
    with pytest.raises(JobError, match="could not be started"):
        run_program(["/nonexistent/program"], Deadline(5))


def test_a_host_that_never_answers_ends_at_the_deadline(site: Site, work_on: MakeWork) -> None:
    with pytest.raises(JobError, match="timed_out"):
        download.run(work_on(site.add("/never", never()), seconds=1))


@pytest.mark.skipif(not can_fork(), reason="children are started here, not forked")
def test_children_are_forked_again_after_the_process_they_come_from_was_killed() -> None:
    nursery = Nursery(ODD_JOBS)
    first = Child(ODD_JOBS, begin=nursery.start)
    first.request("pid", {}, Deadline(30))
    psutil.Process(nursery.pid).kill()

    second = Child(ODD_JOBS, begin=nursery.start)
    pids = [child.request("pid", {}, Deadline(30))["pid"] for child in (first, second)]
    first.close()
    second.close()
    nursery.close()

    assert len(set(pids)) == 2
    assert all(has_ended(pid) for pid in pids)


@pytest.mark.skipif(not can_fork(), reason="children are started here, not forked")
def test_a_nursery_that_cannot_start_is_a_passing_error() -> None:
    with pytest.raises(JobError, match="internal"):
        Nursery("tests.support.no_such_module").start()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
@pytest.mark.parametrize("tools", [process._limiting_tools(), ()], ids=["by the system's tools", "by the launcher"])
def test_a_program_is_under_its_limits(tools: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_limiting_tools", lambda: tools)
    tell = "import resource as r; print([r.getrlimit(n) for n in (r.RLIMIT_NOFILE, r.RLIMIT_CORE, r.RLIMIT_CPU)])"
    done = run_program([sys.executable, "-c", tell], Deadline(30), limits={"CPU": 7})

    most = process.MAX_OPEN_FILES
    assert done.stdout.decode().strip() == str([(most, most), (0, 0), (7, 7)])
