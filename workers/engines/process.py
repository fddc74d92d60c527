"""Foreign programs as child processes: a clean environment, limits, a deadline, a kill of the whole tree."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
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
MAX_PROCESSES = 16
MAX_OPEN_FILES = 256
FOLDER_PREFIX = "coop-child-"
"""Of the folders that warm children have for their own."""
HOMES = ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")
_LAUNCHER = Path(__file__).with_name("launcher.py")

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
    ffmpeg, phantomjs or rtmpdump that would reach the net by itself. It has no home, and so no configuration, plugins,
    cookies or netrc of the user.
    """
    return clean_environment(
        **dict.fromkeys(HOMES, os.devnull),
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


def _family_at_a_glance(pid: int) -> list[psutil.Process]:
    """As `descendants`, by the kernel's own lists where it keeps them: that reads no other process of the machine.

    Sixty times cheaper, which counts for every child every second. One that starts or ends meanwhile may be missed.
    """
    found: list[psutil.Process] = []
    parents = [pid]
    try:
        for parent in parents:
            for task in Path(f"/proc/{parent}/task").iterdir():
                parents += map(int, (task / "children").read_text(encoding="ascii").split())
    except OSError:
        return descendants(pid)
    for member in parents[1:]:
        with contextlib.suppress(psutil.Error):
            found.append(psutil.Process(member))
    return found


class MemoryWatch:
    """Looks once a second whether a process and its descendants take more memory, or are more, than they may.

    The system's own limits count per process (memory) or per user (processes), so neither holds for a tree.
    """

    def __init__(self, pid: int, limit_bytes: int = MEMORY_BYTES, limit_processes: int = MAX_PROCESSES) -> None:
        self._pid = pid
        self._limit_bytes = limit_bytes
        self._limit_processes = limit_processes
        self._next = 0.0

    def check(self, program: str) -> None:
        """Raises JobError `internal` when `program`, the tree at the watched pid, is over a bound."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 1.0
        family = _family_at_a_glance(self._pid)
        if len(family) >= self._limit_processes:
            raise JobError("internal", f"{program} started more than {self._limit_processes} processes and was ended.")
        if _memory_of(self._pid, family) > self._limit_bytes:
            limit = self._limit_bytes // 2**20
            raise JobError("internal", f"{program} took more than {limit} MiB of memory and was ended.")


def _memory_of(pid: int, family: Sequence[psutil.Process]) -> int:
    """Bytes of memory that `pid` and its family hold; 0 when it has ended."""
    total = 0
    try:
        members = [psutil.Process(pid), *family]
    except psutil.Error:
        return 0
    for member in members:
        with contextlib.suppress(psutil.Error):
            total += member.memory_info().rss
    return total


def run_program(
    args: Sequence[str],
    deadline: Deadline,
    *,
    cwd: Path | None = None,
    limits: Mapping[str, int] | None = None,
    memory_bytes: int = MEMORY_BYTES,
    stderr_chars: int = 20_000,
) -> CompletedOutput:
    """Run `args` to its end without input, within the deadline, and give back what it wrote.

    `limits`: of the system's RLIMIT_ names, beside those that every program has; Windows has none. Output is held in
    memory: the caller bounds it by what it asks the program for. Whatever ends this call (deadline, cancel, memory
    bound: JobError `timed_out`, Cancelled, JobError `internal`), nothing of the program runs on.
    """
    program = Path(args[0]).stem
    process = start(_under_limits(args, limits or {}), env=clean_environment(), cwd=cwd)
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


def _under_limits(args: Sequence[str], limits: Mapping[str, int]) -> list[str]:
    """The command that runs `args` under limits. Raises JobError `internal` when there is no such program."""
    program = shutil.which(args[0])
    if program is None:
        raise JobError("internal", f"{args[0]} could not be started: there is no such program.")
    if sys.platform == "win32":
        return [program, *args[1:]]
    every = {"CORE": 0, "NOFILE": MAX_OPEN_FILES, "DATA": MEMORY_BYTES, **limits}
    tools = _limiting_tools()
    if tools:
        return [
            *tools,
            *(f"--{name.lower()}={_within(name, most)}" for name, most in every.items()),
            program,
            *args[1:],
        ]
    listed = ",".join(f"{name}={most}" for name, most in every.items())
    return [sys.executable, "-I", "-S", str(_LAUNCHER), listed, str(os.getpid()), program, *args[1:]]


@functools.cache
def _limiting_tools() -> tuple[str, ...]:
    """What does the launcher's work in 1 ms instead of 20, where Linux has it (util-linux); else nothing."""
    end_with_parent, limit = shutil.which("setpriv"), shutil.which("prlimit")
    if sys.platform != "linux" or end_with_parent is None or limit is None:
        return ()
    tools = (end_with_parent, "--pdeathsig", "KILL", limit)
    try:
        tried = subprocess.run([*tools, "--core=0", sys.executable, "-V"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tools if tried.returncode == 0 else ()


def _within(name: str, most: int) -> int:
    """`most`, or the lower bound that this process is under already."""
    if sys.platform == "win32":
        return most
    import resource

    _soft, hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))
    return most if hard == resource.RLIM_INFINITY else min(most, hard)
