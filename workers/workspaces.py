"""A folder for each run of a stage, and the sweeping of those that dead processes left."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from coop.logs import get_logger

log = get_logger(__name__)


@contextmanager
def workspace(data_dir: Path) -> Iterator[Path]:
    """An empty folder that is gone afterwards, whatever is left in it."""
    home = _home_of_this_process(data_dir)
    home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=home))
    try:
        yield folder
    finally:
        # On Windows a file that a killed child had open may stay for a moment; the sweep takes it then.
        shutil.rmtree(folder, ignore_errors=True)


def sweep(data_dir: Path) -> int:
    """Remove the folders of processes that no longer run; returns how many."""
    swept = 0
    for home in (data_dir / "work").glob("*-*"):
        if not _is_alive(home.name):
            shutil.rmtree(home, ignore_errors=True)
            swept += 1
    if swept:
        log.info("swept folders of dead processes", folders=swept)
    return swept


def leave(data_dir: Path) -> None:
    """Remove this process' own folder, at its end."""
    shutil.rmtree(_home_of_this_process(data_dir), ignore_errors=True)


def _home_of_this_process(data_dir: Path) -> Path:
    process = psutil.Process(os.getpid())
    return data_dir / "work" / f"{process.pid}-{int(process.create_time())}"


def _is_alive(name: str) -> bool:
    """Whether the process that named its folder so runs: the time tells it from a later one with its number."""
    pid, _, created = name.partition("-")
    try:
        return abs(psutil.Process(int(pid)).create_time() - int(created)) < 2
    except (psutil.NoSuchProcess, ValueError):
        return False
    except psutil.AccessDenied:
        return True
