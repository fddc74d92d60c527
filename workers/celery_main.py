"""The Celery process of a worker: what `celery worker` does, and no more. `python -m workers.celery_main --help`.

Celery's own command loads whatever adds commands to it, Flower's web server and an interactive shell among them: 11 MB
that no worker has a use for.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int | None:
    """Run until a signal ends it; the exit code, None for a plain end."""
    parser = argparse.ArgumentParser(prog="python -m workers.celery_main", description=__doc__)
    parser.add_argument("--app", required=True, help="module that holds the Celery app")
    parser.add_argument("--queues", required=True, help="comma-separated; the first is asked first")
    parser.add_argument("--slots", required=True, type=int, help="tasks that run at once")
    parser.add_argument("--hostname", required=True, help="name of this worker among Celery's, NAME@MACHINE")
    options = parser.parse_args(arguments)
    worker = importlib.import_module(options.app).app.Worker(
        hostname=options.hostname,
        queues=options.queues,
        concurrency=options.slots,
        pool_cls="threads",
        # Gossip and mingle are chatter between workers that nothing here needs.
        without_gossip=True,
        without_mingle=True,
        loglevel=logging.INFO,  # of its banner; the log's own level is a setting
    )
    worker.start()
    code: int | None = worker.exitcode
    return code


if __name__ == "__main__":
    sys.exit(main())
