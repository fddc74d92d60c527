"""A folder for each run of a stage, and the sweeping of those that dead processes left."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from coop.logs import get_logger

log = get_logger(__name__)

_one_at_a_time = threading.Lock()


@contextmanager
def workspace(data_dir: Path) -> Iterator[Path]:
    """An empty folder that is gone afterwards, whatever is left in it."""
    folder = Path(tempfile.mkdtemp(dir=_home(data_dir)[0]))
    try:
        yield folder
    finally:
        # On Windows a file that a killed child had open may stay for a moment; the sweep takes it then.
        shutil.rmtree(folder, ignore_errors=True)


def sweep(data_dir: Path) -> int:
    """Remove the folders of processes that no longer run; returns how many."""
    swept = 0
    for lock_file in (data_dir / "work").glob("*.lock"):
        # The system lets go of a lock with its process: who gets it knows that the owner is dead, in whatever container
        # it ran, and whoever has its process number now.
        lock = FileLock(lock_file, timeout=0, thread_local=False)
        try:
            with lock:
                shutil.rmtree(lock_file.with_suffix(""), ignore_errors=True)
        except Timeout:
            continue
        lock_file.unlink(missing_ok=True)
        swept += 1
    if swept:
        log.info("swept folders of dead processes", folders=swept)
    return swept


def leave(data_dir: Path) -> None:
    """Remove this process' own folder, at its end."""
    home, lock = _home(data_dir)
    shutil.rmtree(home, ignore_errors=True)
    lock.release(force=True)
    Path(lock.lock_file).unlink(missing_ok=True)
    _make_home.cache_clear()


def _home(data_dir: Path) -> tuple[Path, FileLock]:
    with _one_at_a_time:
        home, lock = _make_home(data_dir)
    home.mkdir(parents=True, exist_ok=True)
    return home, lock


@cache
def _make_home(data_dir: Path) -> tuple[Path, FileLock]:
    """A folder, and the lock that says for as long as this process lives that it is in use."""
    home = data_dir / "work" / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    home.mkdir(parents=True)
    lock = FileLock(home.with_suffix(".lock"), timeout=0, thread_local=False)
    lock.acquire()
    return home, lock
