"""Keeps the Celery process of a worker running. `python -m workers.supervisor SHUTDOWN_SECONDS FORM COMMAND…`.

It is there as long as the worker and does next to nothing, so it loads the standard library alone: 7 MB, where the
settings and the log of the other processes take 35. `workers.run` reads the settings and becomes this.
"""

from __future__ import annotations

import datetime
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

from coop.processes import EXIT_SETTINGS, ask_to_end, backoff_seconds

# A process that lived for so long did not die of its start.
_STABLE_SECONDS = 5.0
# Beyond the shutdown time itself: what stages are given to stop, and Celery's own goodbyes.
_KILL_AFTER_SECONDS = 15.0


class Supervisor:
    """Keeps one Celery process running until it is told to stop."""

    def __init__(self, command: Sequence[str], shutdown_seconds: float, log_form: str = "json") -> None:
        self._command = command
        self._shutdown_seconds = shutdown_seconds
        self._log_form = log_form
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Until `stop`, or until the process refuses its settings; returns the exit code of the last process."""
        failures = 0
        while True:
            started = time.monotonic()
            code = self._run_once()
            if self._stopping.is_set():
                return 0 if code >= 0 else 128 - code
            if code == EXIT_SETTINGS:
                return code
            failures = 1 if time.monotonic() - started > _STABLE_SECONDS else failures + 1
            pause = backoff_seconds(failures)
            self._log("the worker process ended and is started again", code=code, pause_seconds=pause)
            self._stopping.wait(pause)
            if self._stopping.is_set():
                return 0

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Have the worker finish what runs; a second call does no more."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self._child and self._child.poll() is None:
            ask_to_end(self._child)
            threading.Thread(target=self._kill_late, args=(self._child,), daemon=True).start()

    def _run_once(self) -> int:
        # A group of its own: a Ctrl-C at the terminal reaches this process alone, which passes it on once.
        if sys.platform == "win32":
            self._child = subprocess.Popen(self._command, creationflags=subprocess.CREATE_NEW_PROCESS_GROUP)
        else:
            self._child = subprocess.Popen(self._command, process_group=0)
        if self._stopping.is_set():
            ask_to_end(self._child)
        return self._child.wait()

    def _kill_late(self, child: subprocess.Popen[bytes]) -> None:
        try:
            child.wait(self._shutdown_seconds + _KILL_AFTER_SECONDS)
        except subprocess.TimeoutExpired:
            self._log("the worker process did not end in time and is killed")
            from coop.supervisor import kill_tree  # 25 MB, but this process ends with that

            kill_tree(child.pid)

    def _log(self, event: str, **values: Any) -> None:
        """A line like those of `coop.logs`, which would bring all that this process does without."""
        now = datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")
        if self._log_form == "json":
            line = {**values, "event": event, "logger": "workers.run", "level": "error", "timestamp": now}
            text = json.dumps(line)
        else:
            text = " ".join((now, "[error]", event, *(f"{name}={value}" for name, value in values.items())))
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def main(arguments: Sequence[str]) -> int:
    shutdown_seconds, log_form, *command = arguments
    supervisor = Supervisor(command, float(shutdown_seconds), log_form)
    signal.signal(signal.SIGTERM, supervisor.stop)
    signal.signal(signal.SIGINT, supervisor.stop)
    if sys.platform == "win32":
        signal.signal(signal.SIGBREAK, supervisor.stop)
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
