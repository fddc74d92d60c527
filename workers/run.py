"""`coop worker`: reads the settings and has one Celery process kept running. `python -m workers.run --help`."""

from __future__ import annotations

import argparse
import os
import sys

from coop.jobs import STAGES, Stage
from coop.settings import Settings, SettingsError, read_settings
from workers import supervisor

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
    for name, value in _MALLOC.items():
        os.environ.setdefault(name, value)
    command = celery_command(stages, options.slots or settings.slots, settings.machine, options.app)
    return _supervise([str(settings.shutdown_seconds), _log_form(settings), *command])


def _stages(text: str | None) -> list[Stage]:
    """Raises ValueError for a name that is no stage."""
    return [Stage(name.strip()) for name in text.split(",")] if text else list(STAGES)


def _log_form(settings: Settings) -> str:
    if settings.log_format != "auto":
        return settings.log_format
    return "console" if sys.stderr.isatty() else "json"


def _supervise(arguments: list[str]) -> int:
    if sys.platform != "win32":
        os.execv(sys.executable, [sys.executable, "-m", supervisor.__name__, *arguments])  # noqa: S606  # no shell is meant
    # Windows has no exec that keeps the process; what was loaded stays loaded there.
    return supervisor.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
