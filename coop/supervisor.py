"""The child processes of `coop up`: started in order, started again when they die, stopped in the opposite order."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Protocol, Self

import psutil
from filelock import FileLock, Timeout

from coop.logs import get_logger
from coop.parts import Part
from coop.private_file import write_private
from coop.processes import EXIT_SETTINGS, ask_to_end, backoff_seconds

LOOK_SECONDS = 0.2
STEADY_SECONDS = 60.0
"""A child that ran so long counts as sound: its next restart is immediate again."""

_log = get_logger(__name__)


class SupervisorError(Exception):
    """`coop up` cannot run; the message says why and what to do."""


class Supervised(Protocol):
    """What the supervisor needs of a part."""

    @property
    def name(self) -> str: ...

    def start(self) -> None:
        """Start it, again after a death."""

    def poll(self) -> int | None:
        """Its exit code once it has ended."""

    def stop(self) -> None:
        """End it, in order if it will, and wait."""

    def address(self) -> str | None:
        """The line that tells where it is; None until it is ready."""


class Child:
    """A part as a child process with a process group of its own: Ctrl-C reaches the supervisor alone."""

    def __init__(self, part: Part, address: Callable[[], str | None], grace_seconds: float) -> None:
        self.name = part.name
        self.address = address
        self._part = part
        self._grace_seconds = grace_seconds
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._part.command,
            env=self._part.environment(),
            stdin=subprocess.DEVNULL,
            stdout=2,  # our stdout carries the addresses, nothing else
            start_new_session=True,  # POSIX
            creationflags=_new_group(),  # Windows
        )

    def poll(self) -> int | None:
        return self._process.poll() if self._process else None

    def stop(self) -> None:
        if self._process:
            end_tree(self._process.pid, self._grace_seconds)
            self._process.wait()


def _new_group() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP
    return 0


def end_tree(pid: int, grace_seconds: float) -> None:
    """Ask a process to end; after the grace kill it and all that it started."""
    try:
        process = psutil.Process(pid)
        tree = [process, *process.children(recursive=True)]
        ask_to_end(process)
    except psutil.NoSuchProcess:
        return
    _, alive = psutil.wait_procs([process], timeout=grace_seconds)
    if alive:
        tree += [child for child in alive[0].children(recursive=True) if child not in tree]
    for each in tree:
        if each.is_running():
            _kill(each)
    psutil.wait_procs(tree, timeout=5)


def kill_tree(pid: int) -> None:
    """Kill a process and all that it started, without waiting: its parent hears how it ended."""
    try:
        process = psutil.Process(pid)
        tree = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for each in tree:
        _kill(each)


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


@dataclass
class _Watched:
    part: Supervised
    started_at: float = 0.0
    announced: bool = False
    failures: int = 0
    start_at: float | None = None


class Supervisor:
    """Holds the parts of one machine. One per data folder; what a killed one left behind is ended first."""

    def __init__(self, data_dir: Path, announce: Callable[[str], None]) -> None:
        self._announce = announce
        self._watched: list[_Watched] = []
        self._children_file = data_dir / "children.json"
        self._data_dir = data_dir
        self._lock = FileLock(data_dir / "up.lock", thread_local=False)

    def __enter__(self) -> Self:
        """Take the data folder. Raises SupervisorError when another `coop up` has it."""
        self._data_dir.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise SupervisorError(
                f"Another `coop up` runs on {self._data_dir}: stop it, or set COOP_DATA_DIR to another folder"
            ) from error
        _end_left_behind(self._children_file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for watched in reversed(self._watched):
            _log.debug("stopping", part=watched.part.name)
            watched.part.stop()
        self._children_file.unlink(missing_ok=True)
        self._lock.release(force=True)

    def start(self, part: Supervised) -> None:
        """Start a part and keep it running from now on."""
        watched = _Watched(part)
        self._watched.append(watched)
        self._launch(watched)

    def watch(self, stopping: Event) -> None:
        """Keep the parts running and announce each once it is ready, until `stopping` is set."""
        while not stopping.wait(LOOK_SECONDS):
            for watched in self._watched:
                self._look(watched)

    def _look(self, watched: _Watched) -> None:
        now = time.monotonic()
        if watched.start_at is not None:
            if now >= watched.start_at:
                self._launch(watched)
        elif (code := watched.part.poll()) == EXIT_SETTINGS:
            raise SupervisorError(f"{watched.part.name} cannot run with these settings; it has said above which")
        elif code is not None:
            lasted = now - watched.started_at
            watched.failures = 1 if lasted > STEADY_SECONDS else watched.failures + 1
            delay = backoff_seconds(watched.failures)
            watched.start_at = now + delay
            _log.warning("part ended, starting it again", part=watched.part.name, code=code, in_seconds=delay)
        elif not watched.announced and (line := watched.part.address()):
            watched.announced = True
            self._announce(line)

    def _launch(self, watched: _Watched) -> None:
        watched.part.start()
        watched.started_at, watched.start_at = time.monotonic(), None
        self._note_children()

    def _note_children(self) -> None:
        """Write down who our children are: if we are killed, the next `coop up` ends them."""
        pids = [watched.part.pid for watched in self._watched if isinstance(watched.part, Child)]
        children = [{"pid": pid, "startedAt": _started_at(pid)} for pid in pids if pid]
        write_private(self._children_file, json.dumps(children))


def _started_at(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def _end_left_behind(children_file: Path) -> None:
    try:
        children = json.loads(children_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for child in children:
        # The same pid with another start is another process; clocks are set right by up to a second or so.
        started_at = _started_at(child["pid"])
        if started_at and child["startedAt"] and abs(started_at - child["startedAt"]) < 2:
            _log.warning("ending a child that a killed `coop up` left", pid=child["pid"])
            end_tree(child["pid"], grace_seconds=5)
