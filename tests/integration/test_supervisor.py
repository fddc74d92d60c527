"""The supervisor with real child processes."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest

from coop.parts import Part
from coop.processes import backoff_seconds
from coop.supervisor import Child, Supervisor, SupervisorError, end_tree
from workers import supervisor as worker_supervisor

FOREVER = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
PARENT = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {FOREVER!r}]); time.sleep(600)"


def _child(name: str, script: str, address: Callable[[], str | None] = lambda: None, grace: float = 5) -> Child:
    return Child(Part(name, [sys.executable, "-c", script]), address, grace)


def _until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)


@pytest.fixture
def announced() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, announced: list[str]) -> Iterator[Supervisor]:
    with Supervisor(tmp_path, announced.append) as supervisor:
        stopping = Event()
        thread = Thread(target=supervisor.watch, args=(stopping,))
        thread.start()
        yield supervisor
        stopping.set()
        thread.join()


def test_a_part_is_announced_once_when_it_is_ready(supervisor: Supervisor, announced: list[str]) -> None:
    ready = Event()
    supervisor.start(_child("web", FOREVER, lambda: "web http://here" if ready.is_set() else None))
    supervisor.start(_child("other", FOREVER, lambda: "other"))

    _until(lambda: announced == ["other"])
    ready.set()
    _until(lambda: announced == ["other", "web http://here"])


def test_a_part_that_died_is_started_again(supervisor: Supervisor) -> None:
    child = _child("web", FOREVER)
    supervisor.start(child)
    first = child.pid
    assert first

    psutil.Process(first).kill()

    _until(lambda: child.pid != first and child.poll() is None)


def test_a_part_that_dies_of_its_start_is_started_again_and_again(supervisor: Supervisor, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    supervisor.start(_child("web", f"open({str(starts)!r}, 'a').write('x')"))

    _until(lambda: starts.exists() and len(starts.read_text()) == 3)


def test_a_part_that_refuses_its_settings_ends_it_all(tmp_path: Path) -> None:
    with Supervisor(tmp_path, lambda line: None) as supervisor:
        supervisor.start(_child("worker", "raise SystemExit(2)"))

        with pytest.raises(SupervisorError, match="worker cannot run with these settings"):
            supervisor.watch(Event())


def test_pauses_between_starts_grow_up_to_a_bound() -> None:
    assert [backoff_seconds(failures) for failures in (1, 2, 3, 6, 7, 8, 10_000)] == [0.5, 1, 2, 16, 30, 30, 30]


def test_parts_are_stopped_in_the_opposite_order(tmp_path: Path) -> None:
    order = []

    class Noted(Child):
        def stop(self) -> None:
            order.append(self.name)
            super().stop()

    with Supervisor(tmp_path, print) as supervisor:
        for name in ("redis", "gateway", "worker"):
            supervisor.start(Noted(Part(name, [sys.executable, "-c", FOREVER]), lambda: None, 5))

    assert order == ["worker", "gateway", "redis"]


@pytest.mark.skipif(sys.platform == "win32", reason="nothing there ignores CTRL_BREAK")
def test_a_part_that_does_not_listen_is_killed_after_its_grace() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        end_tree(process.pid, grace_seconds=0.2)
        ended = not psutil.pid_exists(process.pid)
        process.kill()

    assert ended


def test_what_a_part_started_ends_with_it(tmp_path: Path) -> None:
    with Supervisor(tmp_path, print) as supervisor:
        child = _child("worker", PARENT)
        supervisor.start(child)
        parent = psutil.Process(child.pid)
        _until(parent.children)
        tree = [parent, *parent.children()]

    assert not [process for process in tree if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.skipif(sys.platform == "win32", reason="nothing there ignores CTRL_BREAK")
def test_a_worker_that_does_not_end_is_killed_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file = tmp_path / "pid"
    stubborn = (
        "import pathlib, signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"child = subprocess.Popen([sys.executable, '-c', {FOREVER!r}]);"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(child.pid)); time.sleep(600)"
    )
    monkeypatch.setattr(worker_supervisor, "_KILL_AFTER_SECONDS", 0.1)
    supervisor = worker_supervisor.Supervisor([sys.executable, "-c", stubborn], shutdown_seconds=0)
    thread = Thread(target=supervisor.run)
    thread.start()
    _until(lambda: pid_file.exists() and pid_file.read_text())
    grandchild = psutil.Process(int(pid_file.read_text()))

    supervisor.stop()

    thread.join(20)
    _until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


def test_a_second_supervisor_on_the_folder_is_told_so(supervisor: Supervisor, tmp_path: Path) -> None:
    with (
        pytest.raises(SupervisorError, match=r"Another `coop up` runs on .*set COOP_DATA_DIR"),
        Supervisor(tmp_path, print),
    ):
        pass


def test_children_of_a_killed_supervisor_are_ended_by_the_next(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from coop.parts import Part; from coop.supervisor import *;"
        f"child = Child(Part('web', [sys.executable, '-c', {FOREVER!r}]), lambda: None, 5);"
        "supervisor = Supervisor(Path(sys.argv[1]), print).__enter__(); supervisor.start(child);"
        "print(child.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout
        orphan = psutil.Process(int(owner.stdout.readline()))
        owner.kill()

    assert orphan.is_running()
    with Supervisor(tmp_path, print):
        _until(lambda: not orphan.is_running())


def test_another_process_that_got_the_pid_of_a_child_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", FOREVER]) as bystander:
        old = [{"pid": bystander.pid, "startedAt": psutil.Process(bystander.pid).create_time() - 60}]
        (tmp_path / "children.json").write_text(json.dumps(old))
        with Supervisor(tmp_path, print):
            assert bystander.poll() is None
        bystander.kill()
