"""The job document of the contract, made from what the store knows: the same for the API and the command line."""

from __future__ import annotations

from coop.documents import JobDocument, job_document
from coop.job_store import JobStore
from coop.jobs import Job


def document_of(store: JobStore, job: Job, *, with_outcome: bool = True) -> JobDocument:
    detail = store.detail(job, with_outcome=with_outcome)
    return job_document(job, queue_position=detail.queue_position, usd=detail.usd, outcome=detail.outcome)
