"""The parts of the service as processes: what starts each, by name. No part is imported here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from coop.jobs import Stage
from coop.settings import Settings, SettingsError


@dataclass(frozen=True)
class Part:
    """One process: its command line, and what its environment has more than ours (secrets go here, never into argv)."""

    name: str
    command: Sequence[str]
    environ: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.environ}


def gateway_part(settings: Settings) -> Part:
    return Part("gateway", [sys.executable, "-m", "api.serve"], {"COOP_PORT": str(settings.port)})


def worker_part(settings: Settings, stages: Sequence[Stage] = ()) -> Part:
    """A worker for `stages`, or for all of them."""
    command = [sys.executable, "-m", "workers.run", "--slots", str(settings.slots)]
    if stages:
        command += ["--stages", ",".join(stages)]
    return Part("worker", command, {"COOP_SLOTS": str(settings.slots)})


def flower_part(settings: Settings) -> Part:
    """Flower with a password. Raises SettingsError without one."""
    if settings.flower_basic_auth is None:
        raise SettingsError("COOP_FLOWER_BASIC_AUTH is not set: Flower does not run without USER:PASSWORD")
    command = [sys.executable, "-m", "celery", "-A", "coop.queue:app", "flower"]
    environ = {
        "FLOWER_ADDRESS": settings.flower_host,
        "FLOWER_PORT": str(settings.flower_port),
        "FLOWER_BASIC_AUTH": settings.flower_basic_auth.get_secret_value(),
    }
    return Part("flower", command, environ)


def become(part: Part) -> NoReturn:
    """Let this process be the part: signals and the exit code are its own."""
    if sys.platform != "win32":
        os.execve(part.command[0], list(part.command), part.environment())  # noqa: S606  # no shell is meant
    # Windows has no exec that keeps the process; Ctrl-C reaches the child by itself, we only wait for its end.
    with subprocess.Popen(part.command, env=part.environment()) as child:
        while True:
            try:
                sys.exit(child.wait())
            except KeyboardInterrupt:
                continue
