"""`coop worker`: starts the Celery worker and starts it again when it dies. `python -m workers.run --help`."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

from coop.jobs import STAGES, Stage
from coop.logs import configure_logs, get_logger
from coop.settings import EXIT_SETTINGS, Settings, SettingsError, read_settings
from coop.supervisor import ask_to_end, backoff_seconds, kill_tree

log = get_logger(__name__)

# A process that lived for so long did not die of its start.
_STABLE_SECONDS = 5.0
# Beyond the shutdown time itself: what stages are given to stop, and Celery's own goodbyes.
_KILL_AFTER_SECONDS = 15.0


# glibc gives threads up to eight heaps per core, and keeps in each what was freed there: gigabytes, with a hundred
# threads that each handle audio now and then. Two heaps, and what is large goes back to the system at once.
_MALLOC = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1000000", "MALLOC_TRIM_THRESHOLD_": "1000000"}


def celery_command(stages: list[Stage], slots: int, machine: str, app: str = "workers.app") -> list[str]:
    """How Celery is started. Later stages are named first: a job near its end goes before a new one."""
    queues = ",".join(stage.queue for stage in reversed(STAGES) if stage in stages)
    return [
        *(sys.executable, "-m", "workers.celery_main", "--app", app),
        *("--slots", str(slots), "--queues", queues, "--hostname", f"coop-{os.getpid()}@{machine}"),
    ]


class Supervisor:
    """Keeps one Celery process running until it is told to stop."""

    def __init__(self, command: list[str], shutdown_seconds: float) -> None:
        self._command = command
        self._shutdown_seconds = shutdown_seconds
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
            log.error("the worker process ended and is started again", code=code, pause_seconds=pause)
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
            log.warning("the worker process did not end in time and is killed")
            kill_tree(child.pid)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="coop worker", description="Run one worker of the fleet.")
    parser.add_argument("--stages", help=f"comma-separated, of {', '.join(STAGES)}; all if not given")
    parser.add_argument("--slots", type=int, help="stages that run at once")
    # The tests run stages of their own.
    parser.add_argument("--app", default="workers.app", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        settings = read_settings()
        stages = _stages(options.stages)
    except (SettingsError, ValueError) as error:
        parser.error(str(error))
    configure_logs(settings)
    for name, value in _MALLOC.items():
        os.environ.setdefault(name, value)
    command = celery_command(stages, options.slots or settings.slots, settings.machine, options.app)
    return _supervise(command, settings)


def _stages(text: str | None) -> list[Stage]:
    """Raises ValueError for a name that is no stage."""
    return [Stage(name.strip()) for name in text.split(",")] if text else list(STAGES)


def _supervise(command: list[str], settings: Settings) -> int:
    supervisor = Supervisor(command, settings.shutdown_seconds)
    signal.signal(signal.SIGTERM, supervisor.stop)
    signal.signal(signal.SIGINT, supervisor.stop)
    if sys.platform == "win32":
        signal.signal(signal.SIGBREAK, supervisor.stop)
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
