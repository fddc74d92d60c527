"""The job document of the contract, made from what the store knows: the same for the API and the command line."""

from __future__ import annotations

from coop.documents import JobDocument, job_document
from coop.job_store import JobStore
from coop.jobs import Job, JobStatus


def document_of(store: JobStore, job: Job, *, with_outcome: bool = True) -> JobDocument:
    return job_document(
        job,
        queue_position=store.queue_position(job) if job.status is JobStatus.QUEUED else None,
        usd=store.cost(job.id),
        outcome=store.outcome(job.id) if with_outcome else None,
    )
