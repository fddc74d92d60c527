"""The job that a route's path names, seen with the eyes of the client that asks."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from flask import Response
from werkzeug.datastructures import Headers, MIMEAccept
from werkzeug.http import parse_accept_header

from api.auth import client
from api.request import current_request
from api.services import services
from coop import job_documents
from coop.documents import JobDocument
from coop.errors import Problem
from coop.jobs import Job, job_id_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def own_job(request_id: str) -> Job:
    """The client's job. Raises Problem `not_found`, also for another client's: the id holds the client's name."""
    job = services().store.get(job_id_of(client().name, request_id))
    if job is None:
        raise Problem("not_found", "This client has no job with this requestId.")
    return job


def document_of(job: Job) -> JobDocument:
    return job_documents.document_of(services().store, job)


class JsonResponse(Response):
    """An answer that is complete as it stands: its length is known, and a Location in it is absolute and ASCII."""

    def get_wsgi_headers(self, _environ: WSGIEnvironment) -> Headers:
        return self.headers


def json_response(body: bytes, status: int = 200) -> Response:
    return JsonResponse(body, status, content_type="application/json")


# Callers may make up what they accept, and at length: that is not kept.
_LONGEST_KEPT = 256


@lru_cache(maxsize=256)
def _accepts(header: str, media_type: str) -> bool:
    accepted = parse_accept_header(header, MIMEAccept)
    return not accepted or bool(accepted[media_type])


def require_acceptable(media_type: str) -> None:
    """Raise Problem `not_acceptable` when the caller's Accept header rules `media_type` out."""
    header = current_request().header("Accept")
    accepts = _accepts if len(header) <= _LONGEST_KEPT else _accepts.__wrapped__
    if not accepts(header, media_type):
        raise Problem("not_acceptable", f"This address answers with {media_type}.")
