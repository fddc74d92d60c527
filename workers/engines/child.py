"""Warm child processes: Python modules that stay loaded between requests, one request at a time each.

A child answers JSON lines (see `child_main`). It is replaced after a number of requests, when idle for long, and
whenever a request did not end as it should: deadline, cancel, too much memory or a crash kill it with its whole tree.
"""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coop.errors import JobError
from coop.logs import get_logger
from workers.engines.deadline import Deadline
from workers.engines.process import (
    FOLDER_PREFIX,
    MEMORY_BYTES,
    ChildProcess,
    MemoryWatch,
    kill_tree,
    pipes_of,
    python_environment,
    start,
)

log = get_logger(__name__)

_POLL_SECONDS = 0.1
_MAX_ANSWER_BYTES = 64 * 2**20
_MAX_LOG_LINE_BYTES = 2_000
_LAST_WORDS = 20
_CLOSE_SECONDS = 2.0
_REQUESTS_PER_CHILD = 100
_IDLE_SECONDS = 300.0


class Child:
    """One child that serves the requests of a module, started as `python -m MODULE` or as `begin` says.

    It works in an empty folder of its own, which goes with it. Used by one thread at a time.
    """

    def __init__(
        self, module: str, memory_bytes: int = MEMORY_BYTES, begin: Callable[[], ChildProcess] | None = None
    ) -> None:
        self._module = module
        self._folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        try:
            self._process = begin() if begin else start_python(module)
        except BaseException:
            self._remove_folder()
            raise
        self._stdin, self._stdout, self._stderr = pipes_of(self._process)
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._last_words: deque[bytes] = deque(maxlen=_LAST_WORDS)
        self._memory = MemoryWatch(self._process.pid, memory_bytes)
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_answers, self._read_log)]
        for reader in self._readers:
            reader.start()
        self.served = 0
        self.used_at = time.monotonic()
        self._send({"folder": str(self._folder)})

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return not self._readers[0].is_alive()

    def request(self, method: str, params: dict[str, Any], deadline: Deadline) -> dict[str, Any]:
        """The child's result. Raises the JobError that the child reports, or `internal` (passing) when it crashed.

        After any other exception than one the child reported, the child is of no more use: `close` it.
        """
        self.served += 1
        self._send({"method": method, "params": params})
        answer = self._receive(deadline)
        self.used_at = time.monotonic()
        if "error" in answer:
            raise ReportedError(**answer["error"])
        result: dict[str, Any] = answer["result"]
        return result

    def _send(self, request: dict[str, Any]) -> None:
        try:
            self._stdin.write(json.dumps(request).encode() + b"\n")
            self._stdin.flush()
        except OSError as error:
            raise self._crash() from error

    def _receive(self, deadline: Deadline) -> dict[str, Any]:
        while True:
            try:
                line = self._answers.get(timeout=min(_POLL_SECONDS, deadline.remaining()))
                break
            except queue.Empty:
                self._memory.check(self._module)
        if not line.endswith(b"\n"):
            raise self._crash()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _crash(self) -> JobError:
        self.close()
        said = b"".join(self._last_words).decode("utf-8", "replace")
        log.error("a child process crashed", module=self._module, exit_code=self._process.returncode, said=said)
        return JobError("internal", f"{self._module} ended by itself with exit code {self._process.returncode}.")

    def _read_answers(self) -> None:
        # An empty line at the end stands for the end of the child.
        while line := self._stdout.readline(_MAX_ANSWER_BYTES):
            self._answers.put(line)
        self._answers.put(b"")

    def _read_log(self) -> None:
        while line := self._stderr.readline(_MAX_LOG_LINE_BYTES):
            self._last_words.append(line)

    def close(self) -> None:
        """Kill the child and all that it started; its folder goes too."""
        kill_tree(self._process)
        self._remove_folder()
        for reader in self._readers:
            reader.join(_CLOSE_SECONDS)
        if any(reader.is_alive() for reader in self._readers):
            # What a crashed child had started may hold a pipe open; its reader ends when that does.
            return
        for pipe in (self._stdin, self._stdout, self._stderr):
            # What was buffered for a child that is gone cannot be written any more.
            with contextlib.suppress(OSError):
                pipe.close()

    def _remove_folder(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


class ReportedError(JobError):
    """An error that a child named; the child itself is well."""

    def __init__(self, code: str, message: str, passing: bool | None, retry_after: float | None) -> None:
        super().__init__(code, message, passing=passing, retry_after=retry_after)


class ChildPool:
    """As many children of a module as there are requests at once; the most recently used is taken first."""

    def __init__(
        self,
        make: Callable[[], Child],
        requests_per_child: int = _REQUESTS_PER_CHILD,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        self._make = make
        self._requests_per_child = requests_per_child
        self._idle_seconds = idle_seconds
        self._idle: list[Child] = []
        self._lock = threading.Lock()
        self._reaper: threading.Timer | None = None
        self._closed = False

    def request(self, method: str, params: dict[str, Any], deadline: Deadline) -> dict[str, Any]:
        """As `Child.request`, by an idle child or a new one."""
        deadline.check()
        child = self._take()
        try:
            result = child.request(method, params, deadline)
        except ReportedError:
            self._give_back(child)
            raise
        except BaseException:
            child.close()
            raise
        self._give_back(child)
        return result

    def _take(self) -> Child:
        with self._lock:
            child = self._idle.pop() if self._idle else None
        if child is None:
            return self._make()
        if not child.has_ended:
            return child
        # Ended from outside while it was idle, as by a system that is short of memory.
        child.close()
        return self._make()

    def _give_back(self, child: Child) -> None:
        with self._lock:
            keep = not self._closed and child.served < self._requests_per_child
            if keep:
                self._idle.append(child)
                self._watch_idle()
        if not keep:
            child.close()

    def _watch_idle(self) -> None:
        """One timer at a time, as long as there are idle children. The lock is held."""
        if self._reaper is None and self._idle:
            self._reaper = threading.Timer(self._idle_seconds / 2, self._reap)
            self._reaper.daemon = True
            self._reaper.start()

    def _reap(self) -> None:
        limit = time.monotonic() - self._idle_seconds
        with self._lock:
            old = [child for child in self._idle if child.used_at <= limit]
            self._idle = [child for child in self._idle if child.used_at > limit]
            self._reaper = None
            if not self._closed:
                self._watch_idle()
        for child in old:
            child.close()

    def idle_pids(self) -> list[int]:
        """The processes that wait for requests."""
        with self._lock:
            return [child.pid for child in self._idle if not child.has_ended]

    def close(self) -> None:
        """End the idle children; busy ones end with their request."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            if self._reaper:
                self._reaper.cancel()
        for child in idle:
            child.close()


def start_python(module: str) -> ChildProcess:
    args = [sys.executable, "-s", "-P", "-m", module]
    return start(args, env=python_environment(), stdin=subprocess.PIPE)
