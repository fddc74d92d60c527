"""Finding one job for the commands that an operator gives beside the gateway, in Redis itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from coop.clients import ClientRegistry
from coop.job_documents import document_of
from coop.job_store import JobStore
from coop.jobs import Job, job_id_of
from coop.redis_client import connect
from coop.settings import read_settings


def one_job(command: Callable[..., None]) -> Callable[..., None]:
    """The argument REQUEST_ID and the option that tells clients' equal ids apart."""
    option = click.option("--client", metavar="NAME", help="Whose job; needed if several clients have that requestId.")
    return option(click.argument("request_id")(command))


@contextmanager
def open_store() -> Iterator[JobStore]:
    settings = read_settings()
    with connect(settings) as client:
        yield JobStore(client, settings)


def find_job(store: JobStore, request_id: str, client: str | None) -> Job:
    """The one job of that requestId. Raises ClickException: there is none, or several clients have one."""
    names = [client] if client else [each.name for each in ClientRegistry(store.redis).list()]
    found = store.get_many(job_id_of(name, request_id) for name in names)
    if not found:
        raise click.ClickException(f"there is no job {request_id}" + (f" of the client {client}" if client else ""))
    if len(found) > 1:
        owners = ", ".join(job.client for job in found)
        raise click.ClickException(f"{owners} each have a job {request_id}: add --client NAME")
    return found[0]


def shown(store: JobStore, job: Job, *, with_outcome: bool = True) -> dict[str, Any]:
    """The job document of the contract, with `client` before it."""
    return {"client": job.client, **document_of(store, job, with_outcome=with_outcome).to_document()}
