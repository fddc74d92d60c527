"""`coop cancel`"""

from __future__ import annotations

import click

from coop.commands.jobs import document_of, find_job, one_job, open_store
from coop.commands.terminal import print_json


@click.command()
@one_job
def command(request_id: str, client: str | None) -> None:
    """Cancel a job that has not ended, and print it."""
    with open_store() as store:
        print_json(document_of(store, store.cancel(find_job(store, request_id, client).id)))
