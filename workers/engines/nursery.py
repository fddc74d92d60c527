"""Children forked from a process that has loaded their module: ready at once, and most of their memory is shared.

A child of its own start takes 0.6 to 3 s of CPU and 73 MiB; thirty downloads at once would take a machine's memory. A
forked one takes 10 ms, and of its own only what its requests change. On Linux alone: elsewhere a process that has
loaded the system's frameworks must not go on after a fork, or there is no fork; children are started there.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import IO, Any

import psutil

from coop.errors import JobError
from workers.engines.process import ChildProcess, python_environment, start

MESSAGE_BYTES = 65_536
_START_SECONDS = 60.0
_WAIT_STEP_SECONDS = 0.01


def can_fork() -> bool:
    return sys.platform == "linux"


class Nursery:
    """Forks children of one module. `params` are handed to the module's PREPARE once, before the first child.

    The process behind it starts with the first child, and again after it was killed.
    """

    def __init__(self, module: str, params: dict[str, Any] | None = None) -> None:
        self._module = module
        self._params = params
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> ChildProcess:
        """A new child, with pipes for all three streams. Raises JobError `internal`."""
        pipes = [os.pipe() for _ in range(3)]
        (stdin, to_stdin), (from_stdout, stdout), (from_stderr, stderr) = pipes
        ours, theirs = (to_stdin, from_stdout, from_stderr), (stdin, stdout, stderr)
        try:
            pid = self._ask({"fork": True}, theirs)
        except JobError:
            for pipe in ours:
                os.close(pipe)
            raise
        finally:
            for pipe in theirs:
                os.close(pipe)
        files = (os.fdopen(to_stdin, "wb"), os.fdopen(from_stdout, "rb"), os.fdopen(from_stderr, "rb"))
        return ForkedProcess(pid, self, *files)

    def wait(self, pid: int) -> int:
        """The exit code of a child that has ended or is about to."""
        try:
            return self._ask({"wait": pid}, (), may_start=False)
        except JobError:
            # Who forked it is gone, and with it what it ended with.
            return -signal.SIGKILL

    def close(self) -> None:
        """End the process that forks; the children are ended by those who use them."""
        with self._lock:
            self._drop()

    def _ask(self, message: dict[str, Any], pipes: tuple[int, ...], *, may_start: bool = True) -> int:
        with self._lock:
            for _ in range(2):
                if self._socket is None:
                    if not may_start:
                        break
                    self._begin()
                try:
                    return self._exchange(message, pipes)
                except (OSError, ValueError):
                    self._drop()
        raise JobError("internal", f"No process could be forked for {self._module}.")

    def _exchange(self, message: dict[str, Any], pipes: tuple[int, ...]) -> int:
        assert self._socket  # noqa: S101  # the caller has begun
        socket.send_fds(self._socket, [json.dumps(message).encode()], list(pipes))
        # ValueError of an empty answer: the process has ended.
        return int(json.loads(self._socket.recv(MESSAGE_BYTES)))

    def _begin(self) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_START_SECONDS)
        with other:
            args = [sys.executable, "-s", "-P", "-m", "workers.engines.nursery_main", self._module]
            # Its children have pipes of their own, and report what went wrong with it.
            self._process = start(args, env=python_environment(), stdin=other.fileno(), output=subprocess.DEVNULL)
        self._socket.send(json.dumps(self._params).encode())

    def _drop(self) -> None:
        if self._socket:
            self._socket.close()
        if self._process:
            # It alone: what was forked from it may be in the middle of a request.
            self._process.kill()
            self._process.wait()
        self._socket = self._process = None


class ForkedProcess:
    """A child as `subprocess.Popen` would show it, as far as it is used here.

    Its number stays its own until `wait`: the process that forked it reads its exit only then.
    """

    def __init__(self, pid: int, nursery: Nursery, stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self._nursery = nursery

    def kill(self) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._wait_for_end(timeout)
            self.returncode = self._nursery.wait(self.pid)
        return self.returncode

    def _wait_for_end(self, timeout: float | None) -> None:
        # Before the one process is asked that all children are forked from, so that it never waits.
        end = None if timeout is None else time.monotonic() + timeout
        while not has_ended(self.pid):
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(["child"], timeout or 0)
            time.sleep(_WAIT_STEP_SECONDS)


def has_ended(pid: int) -> bool:
    """Whether a process runs no more, though its exit may not have been read."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
