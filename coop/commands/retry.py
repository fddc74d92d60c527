"""`coop retry`"""

from __future__ import annotations

import click
from kombu.exceptions import OperationalError

from coop.commands.jobs import document_of, find_job, one_job, open_store
from coop.commands.terminal import note, print_json
from coop.queue import enqueue


@click.command()
@one_job
def command(request_id: str, client: str | None) -> None:
    """Drive a failed or cancelled job again, from the stage where it ended, and print it."""
    with open_store() as store:
        job = store.retry(find_job(store, request_id, client).id)
        try:
            enqueue(job)
        except OperationalError as error:
            note(f"It is kept; a worker's reaper will send it: {error}")
        print_json(document_of(store, job))
