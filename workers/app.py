"""The Celery worker: `celery -A workers.app worker`. `coop worker` starts it with its options (workers/run.py)."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import redis
from celery.signals import setup_logging, worker_ready, worker_shutdown, worker_shutting_down

from coop.logs import configure_logs, get_logger
from coop.queue import app
from coop.settings import read_settings
from workers import tasks, workspaces
from workers.process import this_process
from workers.reaper import Reaper

__all__ = ["app", "tasks"]

log = get_logger(__name__)

HEARTBEAT_SECONDS = 5.0
SILENCE_SECONDS = 60.0
"""Without a round trip to Redis for so long the process ends itself; its supervisor starts a fresh one."""
EXIT_SILENT = 75

_stop = threading.Event()


@setup_logging.connect  # type: ignore[untyped-decorator]  # celery has no types
def _setup_logging(**_: Any) -> None:
    configure_logs(read_settings())


@worker_ready.connect  # type: ignore[untyped-decorator]  # celery has no types
def _start(sender: Any, **_: Any) -> None:
    process = this_process()
    workspaces.sweep(process.settings.data_dir)
    reaper = Reaper(process.store, process.settings.lease_seconds)
    threading.Thread(target=reaper.run, args=(_stop,), name="reaper", daemon=True).start()
    slots = int(sender.controller.concurrency) if hasattr(sender, "controller") else process.settings.slots
    threading.Thread(target=_heartbeat, args=(slots,), name="heartbeat", daemon=True).start()
    log.info("worker ready", worker=process.name, slots=slots)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]  # celery has no types
def _finish_or_hand_back(**_: Any) -> None:
    process = this_process()
    timer = threading.Timer(process.settings.shutdown_seconds, process.leases.stop_all)
    timer.daemon = True
    timer.start()


@worker_shutdown.connect  # type: ignore[untyped-decorator]  # celery has no types
def _end(**_: Any) -> None:
    _stop.set()
    process = this_process()
    workspaces.leave(process.settings.data_dir)
    try:
        process.store.retire_worker(process.name)
    except redis.RedisError as error:
        log.warning("this worker could not say goodbye", error=str(error))


def _heartbeat(slots: int) -> None:
    process = this_process()
    heard_at = time.monotonic()
    while True:
        try:
            process.store.announce_worker(process.name, slots, process.leases.busy)
            heard_at = time.monotonic()
        except redis.RedisError as error:
            log.warning("Redis does not answer", error=str(error))
        if time.monotonic() - heard_at > SILENCE_SECONDS:
            log.error("no answer from Redis for too long, starting afresh", seconds=SILENCE_SECONDS)
            os._exit(EXIT_SILENT)
        if _stop.wait(HEARTBEAT_SECONDS):
            return
