"""`coop cancel`"""

from __future__ import annotations

import click

from coop.commands.jobs import find_job, one_job, open_store, shown
from coop.commands.terminal import print_json
from coop.queue import enqueue_or_leave


@click.command()
@one_job
def command(request_id: str, client: str | None) -> None:
    """Cancel a job that has not ended, and print it."""
    with open_store() as store:
        job = store.cancel(find_job(store, request_id, client).id)
        enqueue_or_leave(store, job.id, job)  # the callback tells so
        print_json(shown(store, job))
