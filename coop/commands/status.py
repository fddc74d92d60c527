"""`coop status`"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from coop.commands.jobs import find_job, open_store, shown
from coop.commands.terminal import print_json
from coop.job_store import Census, JobStore
from coop.jobs import Job

LAST_JOBS = 10


@click.command()
@click.argument("request_id", required=False)
@click.option("--client", metavar="NAME", help="Whose job; needed if several clients have that requestId.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON also at a terminal.")
def command(request_id: str | None, client: str | None, as_json: bool) -> None:
    """Print the job REQUEST_ID; without one the fleet: machines, slots, queue, last jobs."""
    with open_store() as store:
        if request_id:
            print_json(shown(store, find_job(store, request_id, client)))
            return
        census = store.census()
        jobs, _ = store.list_jobs(client, None, LAST_JOBS, None)
        if as_json or not sys.stdout.isatty():
            print_json(_fleet(store, census, jobs))
        else:
            _print_tables(census, jobs)


def _fleet(store: JobStore, census: Census, jobs: list[Job]) -> dict[str, Any]:
    documents = [shown(store, job, with_outcome=False) for job in jobs]
    return {
        "machines": census.machines,
        "slots": {"busy": census.slots_busy, "free": census.slots_free},
        "queue": {"depth": dict(census.queue_depth), "oldestSeconds": census.queue_oldest_seconds},
        "inFlight": dict(census.in_flight),
        "jobs": [{name: value for name, value in document.items() if name != "result"} for document in documents],
    }


def _print_tables(census: Census, jobs: list[Job]) -> None:
    console = Console()
    waiting = ", ".join(f"{count} {priority}" for priority, count in census.queue_depth.items())
    running = ", ".join(f"{count} {stage}" for stage, count in census.in_flight.items() if count)
    console.print(f"[bold]{census.machines}[/] machines, {census.slots_busy} slots busy, {census.slots_free} free")
    console.print(f"waiting: {waiting}; the oldest for {census.queue_oldest_seconds:.0f} s")
    console.print(f"running: {running or 'nothing'}")
    table = Table("accepted (UTC)", "client", "request", "status", "stage", "machine", "delivery")
    for job in jobs:
        accepted = datetime.fromtimestamp(job.accepted_at / 1000, UTC)
        where = (job.status, job.stage or "", job.machine or "", job.delivery.status)
        table.add_row(f"{accepted:%Y-%m-%d %H:%M:%S}", job.client, job.request_id, *where)
    console.print(table)
