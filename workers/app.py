"""The Celery app of a worker. `coop worker` starts it, with its options (workers/run.py, workers/celery_main.py)."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import redis
from celery.signals import (
    celeryd_after_setup,
    setup_logging,
    task_prerun,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)

from coop.logs import configure_logs, get_logger
from coop.processes import EXIT_SETTINGS
from coop.queue import app
from coop.settings import SettingsError, read_settings
from workers import messages, pipeline, remote_control, tasks, warm_up, watch, workspaces
from workers.process import this_process
from workers.reaper import Reaper

__all__ = ["app", "tasks"]

log = get_logger(__name__)

app.conf.broker_transport = messages.transport_for(app.conf.broker_url)
remote_control.restrict()

_VITAL_THREADS = frozenset({"watch", "reaper", "lease-keeper"})

_closing = threading.Event()  # set when the shutdown begins
_stop = threading.Event()  # set at its end


@setup_logging.connect  # type: ignore[untyped-decorator]  # celery has no types
def _setup_logging(**_: Any) -> None:
    configure_logs(read_settings())


def _vital(start: Callable[..., None]) -> Callable[..., None]:
    """Celery logs what a signal's handler raises and goes on; a worker without these threads must not."""

    @wraps(start)
    def start_or_end(**arguments: Any) -> None:
        try:
            start(**arguments)
        except Exception:
            log.exception("the worker cannot start", part=start.__name__)
            os._exit(watch.EXIT_UNWELL)

    return start_or_end


@celeryd_after_setup.connect  # type: ignore[untyped-decorator]  # celery has no types
@_vital
def _watch(instance: Any, **_: Any) -> None:
    if sys.platform == "win32":
        # What the supervisor sends there (CTRL_BREAK) would end the process at once; Celery knows SIGTERM.
        signal.signal(signal.SIGBREAK, lambda *_: signal.raise_signal(signal.SIGTERM))
    # Before the first connection of Celery's own, which may be the one that hangs.
    process = this_process()
    threading.excepthook = _end_without_vital_thread
    workspaces.sweep(process.settings.data_dir)
    # Before Celery takes its first message, and before the fleet counts this machine.
    taken = instance.app.amqp.queues.consume_from
    stages = [spec for spec in pipeline.STAGES if spec.name.queue in taken]
    task_prerun.connect(warm_up.with_first_job(stages, process.settings), weak=False)
    try:
        warm_up.warm_up(stages, process.settings)
    except SettingsError as error:
        log.error("this worker cannot work with its settings", error=str(error))  # noqa: TRY400  # no traceback helps
        raise SystemExit(EXIT_SETTINGS) from error
    watching = watch.Watch(process, int(instance.concurrency), partial(watch.restart, process))
    threading.Thread(target=watching.run, args=(_closing,), name="watch", daemon=True).start()


@worker_ready.connect  # type: ignore[untyped-decorator]  # celery has no types
@_vital
def _reap(**_: Any) -> None:
    process = this_process()
    reaper = Reaper(process.store, process.settings)
    threading.Thread(target=reaper.run, args=(_stop,), name="reaper", daemon=True).start()
    log.info("worker ready", worker=process.name)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]  # celery has no types
def _finish_or_hand_back(**_: Any) -> None:
    _closing.set()
    threading.Thread(target=_close_down, name="close-down", daemon=True).start()


def _close_down() -> None:
    """What still runs when the time is up is stopped and handed back; what does not stop ends with the process."""
    process = this_process()
    if _stop.wait(max(0.0, process.settings.shutdown_seconds - watch.STOPPING_SECONDS)):
        return
    is_idle = watch.hand_back(process)
    # Celery itself does not end while it waits for a Redis that is away.
    if not is_idle or not _stop.wait(watch.STOPPING_SECONDS):
        log.warning("the worker ends without waiting any longer", stages=process.leases.busy)
        _say_goodbye()
        os._exit(0)


@worker_shutdown.connect  # type: ignore[untyped-decorator]  # celery has no types
def _say_goodbye(**_: Any) -> None:
    _stop.set()
    process = this_process()
    workspaces.leave(process.settings.data_dir)
    try:
        process.store.retire_worker(process.name)
    except redis.RedisError as error:
        log.warning("this worker could not say goodbye", error=str(error))


def _end_without_vital_thread(failure: threading.ExceptHookArgs) -> None:
    """A worker whose leases are not renewed, or that does not reap, is worse than none: another one is started."""
    name = failure.thread.name if failure.thread else None
    log.error("a thread died", thread=name, exc_info=failure.exc_value)
    if name in _VITAL_THREADS:
        os._exit(watch.EXIT_UNWELL)
