"""The job that a route's path names, seen with the eyes of the client that asks."""

from __future__ import annotations

from flask import Response, request

from api.auth import client
from api.services import services
from coop import job_documents
from coop.documents import JobDocument
from coop.errors import Problem
from coop.jobs import Job, job_id_of


def own_job(request_id: str) -> Job:
    """The client's job. Raises Problem `not_found`, also for another client's: the id holds the client's name."""
    job = services().store.get(job_id_of(client().name, request_id))
    if job is None:
        raise Problem("not_found", "This client has no job with this requestId.")
    return job


def document_of(job: Job) -> JobDocument:
    return job_documents.document_of(services().store, job)


def json_response(body: bytes, status: int = 200) -> Response:
    return Response(body, status, content_type="application/json")


def require_acceptable(media_type: str) -> None:
    """Raise Problem `not_acceptable` when the caller's Accept header rules `media_type` out."""
    if request.accept_mimetypes and not request.accept_mimetypes[media_type]:
        raise Problem("not_acceptable", f"This address answers with {media_type}.")
