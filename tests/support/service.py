"""The whole service as its operator starts it: `coop up`, in a folder of its own, on free ports."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coop.supervisor import end_tree

START_SECONDS = 120.0
PARTS = {"redis", "gateway", "worker", "flower"}
# Free of surprises: no key, no `.env`, nothing of an installed service; the site stands on loopback.
ENVIRONMENT = {
    "COOP_ALLOW_NETWORKS": "127.0.0.0/8,::1/128",
    "COOP_SITES": "all",
    "COOP_CACHE_DAYS": "0",  # whoever starts it here wants to see videos done
    "COOP_FLOWER_PORT": "0",
    "COOP_TRANSCRIBER": "local",
    "COOP_ANALYZER": "offline",
}


class ServiceError(Exception):
    """`coop up` did not get ready; the message holds the end of its log."""


@dataclass
class Service:
    """A running `coop up`: the addresses it printed, by part, and commands beside it."""

    folder: Path
    process: subprocess.Popen[str]
    addresses: dict[str, str]

    def coop(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command as another terminal of this machine would."""
        return subprocess.run(
            [sys.executable, "-m", "coop.cli", *arguments],
            cwd=self.folder,
            env=environment(self.folder),
            capture_output=True,
            text=True,
            timeout=120,
            check=check,
        )

    def add_client(self, *arguments: str) -> dict[str, str]:
        """What `coop client add` prints: serverId, apiKey, signingSecret."""
        made: dict[str, str] = json.loads(self.coop("client", "add", *arguments).stdout)
        return made

    def log_tail(self, lines: int = 40) -> str:
        return _tail(self.folder / "coop.log", lines)


@contextmanager
def running_service(folder: Path, options: Sequence[str] = ()) -> Iterator[Service]:
    """`coop up` with its data in `folder`, ready; its log goes to `folder/coop.log`. Raises ServiceError."""
    flags: dict[str, Any] = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if sys.platform == "win32" else {}
    with (
        (folder / "coop.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "coop.cli", "up", "--port", "0", *options],
            cwd=folder,
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            **flags,
        ) as process,
    ):
        try:
            yield Service(folder, process, _addresses(process, folder / "coop.log"))
        finally:
            end_tree(process.pid, grace_seconds=60)


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COOP_", "OPENAI_", "FLOWER_"))}
    return {**kept, **ENVIRONMENT, "COOP_DATA_DIR": str(folder)}


def _addresses(process: subprocess.Popen[str], log: Path) -> dict[str, str]:
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    found: dict[str, str] = {}
    end = time.monotonic() + START_SECONDS
    while not found.keys() >= PARTS:
        try:
            line = lines.get(timeout=max(0, end - time.monotonic()))
        except queue.Empty:
            line = None
        if line is None:
            raise ServiceError(f"coop up did not get ready; ready are {sorted(found)}\n{_tail(log, 40)}")
        name, _, address = line.strip().partition(" ")
        found[name] = address
    return found


def _tail(log: Path, lines: int) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
