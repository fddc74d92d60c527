"""Foreign programs as child processes: a clean environment, a deadline, a memory bound, a kill of the whole tree."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple, Protocol

import psutil

from coop.errors import JobError
from workers.engines.deadline import Deadline

# What a program needs to find itself, its libraries, its temporary folder and its language. Keys and secrets of the
# worker are in none of these; what is not listed is not passed on.
_PASSED_ON = (
    *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "HOME", "TMPDIR", "TEMP", "TMP"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "APPDATA", "LOCALAPPDATA"),
    *("PROGRAMDATA", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE"),
)
_POLL_SECONDS = 0.1
_KILL_SECONDS = 5.0
MEMORY_BYTES = 1_500 * 2**20

# A session (POSIX) or group (Windows) of its own: Ctrl-C at the worker's terminal reaches the worker alone, which then
# ends its children in order, and a whole session can be killed at once.
if sys.platform == "win32":
    _NEW_GROUP = subprocess.CREATE_NEW_PROCESS_GROUP
else:
    _NEW_GROUP = 0


_ROOT = Path(__file__).resolve().parents[2]


class ChildProcess(Protocol):
    """What is used here of `subprocess.Popen`, which not every child comes from."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None:
        """None until `wait` has read the exit."""

    @property
    def stdin(self) -> IO[bytes] | None: ...

    @property
    def stdout(self) -> IO[bytes] | None: ...

    @property
    def stderr(self) -> IO[bytes] | None: ...

    def kill(self) -> None: ...

    def wait(self, timeout: float | None = None) -> int: ...


class CompletedOutput(NamedTuple):
    """What a program left: its exit code, its standard output, and the end of its standard error as text."""

    returncode: int
    stdout: bytes
    stderr: str


def clean_environment(**more: str) -> dict[str, str]:
    """The variables a child is given: an allow-list of the worker's own, and `more`."""
    kept = {name: value for name, value in os.environ.items() if name.upper() in _PASSED_ON}
    return kept | more


def python_environment() -> dict[str, str]:
    """That of a child that runs a module of this project.

    Its search path is the interpreter's own folder: a child finds the packaged JavaScript runtime there, and no
    ffmpeg, phantomjs or rtmpdump that would reach the net by itself.
    """
    return clean_environment(
        PATH=str(Path(sys.executable).parent),
        PYTHONPATH=str(_ROOT),
        PYTHONUTF8="1",
        PYTHONDONTWRITEBYTECODE="1",
        YTDLP_NO_PLUGINS="1",
    )


def start(
    args: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    output: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start `args` as the leader of a process group of its own, with its output in pipes or where `output` says.

    Raises JobError `internal` when the program cannot be started.
    """
    try:
        return subprocess.Popen(
            list(args),
            env=dict(env),
            cwd=cwd,
            stdin=stdin,
            stdout=output,
            stderr=output,
            start_new_session=True,
            creationflags=_NEW_GROUP,
        )
    except OSError as error:
        raise JobError("internal", f"{args[0]} could not be started: {error.strerror}.") from error


def pipes_of(process: ChildProcess) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    """Standard input, output and error of a process that was started with pipes for all three."""
    if not (process.stdin and process.stdout and process.stderr):
        raise ValueError("the process was started without pipes")
    return process.stdin, process.stdout, process.stderr


def kill_tree(process: ChildProcess) -> None:
    """End `process` and all that it started, and wait until they are gone.

    Does nothing once the exit of `process` was read: its number may be another's by then. So whoever sees a child end
    calls this before `poll` or `wait`, and what the child left behind is ended too.
    """
    if process.returncode is not None:
        return
    family = descendants(process.pid)
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        process.kill()
    for member in family:
        with contextlib.suppress(psutil.Error):
            member.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_KILL_SECONDS)
    psutil.wait_procs(family, timeout=_KILL_SECONDS)


def descendants(pid: int) -> list[psutil.Process]:
    """The processes that `pid` started, and those that they started."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def memory_of(pid: int) -> int:
    """Bytes of memory that `pid` and its descendants hold; 0 when it has ended."""
    total = 0
    try:
        family = [psutil.Process(pid), *descendants(pid)]
    except psutil.Error:
        return 0
    for member in family:
        with contextlib.suppress(psutil.Error):
            total += member.memory_info().rss
    return total


class MemoryWatch:
    """Looks once a second whether a process tree holds more than it may."""

    def __init__(self, pid: int, limit_bytes: int = MEMORY_BYTES) -> None:
        self._pid = pid
        self._limit = limit_bytes
        self._next = 0.0

    def check(self, program: str) -> None:
        """Raises JobError `internal` when `program`, the tree at the watched pid, is over its bound."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 1.0
        if memory_of(self._pid) > self._limit:
            raise JobError("internal", f"{program} took more than {self._limit // 2**20} MiB of memory and was ended.")


def run_program(
    args: Sequence[str],
    deadline: Deadline,
    *,
    cwd: Path | None = None,
    memory_bytes: int = MEMORY_BYTES,
    stderr_chars: int = 20_000,
) -> CompletedOutput:
    """Run `args` to its end without input, within the deadline, and give back what it wrote.

    Output is held in memory: the caller bounds it by what it asks the program for. Whatever ends this call (deadline,
    cancel, memory bound: JobError `timed_out`, Cancelled, JobError `internal`), nothing of the program runs on.
    """
    program = Path(args[0]).stem
    process = start(args, env=clean_environment(), cwd=cwd)
    try:
        watch = MemoryWatch(process.pid, memory_bytes)
        while True:
            try:
                stdout, stderr = process.communicate(timeout=min(_POLL_SECONDS, deadline.remaining()))
                break
            except subprocess.TimeoutExpired:
                watch.check(program)
    finally:
        kill_tree(process)
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
    return CompletedOutput(process.returncode, stdout, stderr.decode("utf-8", "replace")[-stderr_chars:])
