"""Where a client's jobs are: one, many, as a stream; and what may be done to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flask import Blueprint, Response, stream_with_context
from redis import RedisError

from api.access import document_of, json_response, own_job, require_acceptable
from api.auth import client
from api.bodies import read_query
from api.presence import Presence, presence
from api.problems import unavailable
from api.services import services
from coop.documents import JobListQuery, job_list_body, without_result
from coop.errors import Problem
from coop.events import Watch
from coop.jobs import DeliveryStatus, Job
from coop.logs import get_logger
from coop.queue import enqueue_or_leave

HEARTBEAT_SECONDS = 15.0
"""A silent stream is given up by proxies after 30 to 60 s, and an end that has gone is noticed by writing to it."""

routes = Blueprint("jobs", __name__)
log = get_logger(__name__)


@routes.get("/api/jobs")
def list_jobs() -> Response:
    require_acceptable("application/json")
    query = read_query(JobListQuery)
    try:
        page, next_cursor = services().store.list_jobs(client().name, query.status, query.limit, query.cursor)
    except ValueError as error:
        raise Problem("invalid_request", errors=[{"field": "cursor", "detail": "It is no nextCursor."}]) from error
    return json_response(job_list_body([document_of(job) for job in page], next_cursor))


@routes.get("/api/jobs/<request_id>")
def get_job(request_id: str) -> Response:
    require_acceptable("application/json")
    return json_response(document_of(own_job(request_id)).to_json())


@routes.delete("/api/jobs/<request_id>")
def cancel_job(request_id: str) -> Response:
    return _changed(request_id, services().store.cancel, 200)


@routes.post("/api/jobs/<request_id>/retry")
def retry_job(request_id: str) -> Response:
    return _changed(request_id, services().store.retry, 202)


@routes.post("/api/jobs/<request_id>/redeliver")
def redeliver_job(request_id: str) -> Response:
    return _changed(request_id, services().store.redeliver, 202)


def _changed(request_id: str, change: Callable[[str], Job], status: int) -> Response:
    """Change the job, hand what is left of it to the workers (of a cancelled job its callback), and show it."""
    require_acceptable("application/json")
    job = change(own_job(request_id).id)
    enqueue_or_leave(services().store, job.id)
    log.info("job changed by its client", job=job.id, change=change.__name__)
    return json_response(document_of(job).to_json(), status)


@routes.get("/api/jobs/<request_id>/events")
def stream_events(request_id: str) -> Response:
    require_acceptable("text/event-stream")
    job = own_job(request_id)
    if not services().holds.take():
        raise Problem("unavailable", "Too many streams are open.", retry_after=unavailable().retry_after)
    response = Response(
        stream_with_context(_events(job.id, presence())), content_type="text/event-stream; charset=utf-8"
    )
    response.call_on_close(services().holds.give_back)
    response.headers["X-Accel-Buffering"] = "no"  # nginx would keep the events until the stream ends
    return response


def _events(job_id: str, caller: Presence) -> Iterator[bytes]:
    """The job's document now and after each change, until nothing more will change or the caller has gone."""
    last = b""
    with services().changes.watch(job_id) as watch:
        caller.on_leave(watch.wake)
        while not caller.has_left:
            found = _look(job_id)
            if found and found[1] != last:
                last = found[1]
                yield b"event: job\ndata: " + last + b"\n\n"
            if found and _is_over(found[0]):
                return
            yield from _heartbeats(watch)


def _heartbeats(watch: Watch) -> Iterator[bytes]:
    """A comment for each silent interval, until the job may have changed; looks again after each by itself."""
    if not watch.wait(HEARTBEAT_SECONDS):
        yield b": still here\n\n"


def _look(job_id: str) -> tuple[Job, bytes] | None:
    """The job and its document; None while Redis is away, for the stream outlives that."""
    try:
        job = services().store.get(job_id)
        return (job, without_result(document_of(job))) if job else None
    except RedisError:
        return None


def _is_over(job: Job) -> bool:
    return job.status.is_final and job.delivery.status is not DeliveryStatus.PENDING
