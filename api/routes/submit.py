"""`POST /api/process-video`: a request becomes a job that is kept."""

from __future__ import annotations

import hashlib
import json
import time
from urllib.parse import urlsplit

from flask import Blueprint, Response
from redis import RedisError

from api.access import json_response, require_acceptable
from api.addresses import events_url, job_url
from api.auth import client, failures_counted, look_again, spend, spending
from api.bodies import read_model
from api.preferences import preferred_wait_seconds
from api.presence import presence
from api.request import current_request
from api.services import services
from coop.clients import Client
from coop.documents import Accepted, SubmitRequest
from coop.egress import check_url
from coop.errors import JobError, Problem
from coop.job_store import Acceptance, ClientChanged, NewJob
from coop.logs import get_logger
from coop.queue import first_message
from coop.settings import Settings

# Looked at again now and then, should a message of the channel of changes be lost on its way.
_LOOK_AGAIN_SECONDS = 10.0

routes = Blueprint("submit", __name__)
log = get_logger(__name__)


@routes.post("/api/process-video")
def process_video() -> Response:
    try:
        asked = _asked()
    except Problem:
        if look_again():
            return process_video()
        spend()  # what is refused uses its signature up as well
        raise
    caller, found = client(), services()
    new = _new_job(asked, caller)
    believed = caller.record_sha1 if current_request().is_remembered else ""
    try:
        with failures_counted:
            accepted = found.store.accept(new, first_message(new), spending(), believed)
    except ClientChanged:
        look_again()
        return process_video()
    if not accepted.is_replay:
        log.info("job accepted", job=accepted.job.id, priority=accepted.job.priority.value)
    if not accepted.is_posted:
        log.warning("messages are left to the reaper", job=accepted.job.id)
    wait_seconds = preferred_wait_seconds(found.settings.max_wait_seconds)
    outcome = _outcome_within(accepted.job.id, wait_seconds) if wait_seconds is not None else None
    response = json_response(outcome) if outcome else _accepted_response(accepted)
    if accepted.is_replay:
        response.headers["Idempotent-Replay"] = "true"
    if wait_seconds is not None:
        response.headers["Preference-Applied"] = f"wait={wait_seconds}"
    return response


def _asked() -> SubmitRequest:
    require_acceptable("application/json")
    asked = read_model(SubmitRequest)
    _check_urls(asked, client())
    return asked


def fingerprint_of(asked: SubmitRequest) -> str:
    """Equal for requests that ask for the same: neither the key, nor when it was asked, nor the spelling counts.

    It is kept with the job and compared after upgrades: a field that a newer gateway adds must not change it, so
    defaults are left out.
    """
    meaning = asked.model_dump(mode="json", exclude={"api_key", "timestamp"}, exclude_defaults=True)
    return hashlib.sha256(_SORTED.encode(meaning).encode()).hexdigest()


_SORTED = json.JSONEncoder(sort_keys=True)


def _new_job(asked: SubmitRequest, caller: Client) -> NewJob:
    return NewJob(
        client=caller.name,
        request_id=asked.request_id,
        video_url=asked.video_url,
        priority=asked.priority,
        options=asked.options,
        callback_url=asked.callback_url,
        fingerprint=fingerprint_of(asked),
        trace=current_request().trace,
    )


def _check_urls(asked: SubmitRequest, caller: Client) -> None:
    settings = services().settings
    _check_url("videoUrl", asked.video_url, settings)
    if asked.callback_url is None:
        return
    _check_url("serverInfo.callbackUrl", asked.callback_url, settings)
    host = urlsplit(asked.callback_url).hostname or ""
    if not caller.may_be_called_at(host):
        raise Problem("callback_host_not_allowed", f"{caller.name} may not have results sent to {host}.")


def _check_url(field: str, url: str, settings: Settings) -> None:
    try:
        check_url(url, settings)
    except JobError as error:
        raise Problem(error.code, error.message, [{"field": field, "detail": error.message}]) from error


def _accepted_response(accepted: Acceptance) -> Response:
    """The same for a replay: what is so by now stands at `statusUrl`."""
    request_id = accepted.job.request_id
    status_url = job_url(request_id)
    document = Accepted(
        request_id=request_id,
        status_url=status_url,
        events_url=events_url(status_url),
        queue_position=accepted.queue_position,
        estimated_seconds=accepted.estimated_seconds,
    )
    response = json_response(document.to_json(), 202)
    response.headers["Location"] = status_url
    return response


def _outcome_within(job_id: str, seconds: int) -> bytes | None:
    """The final document, if the job ends in time. When too many requests are held already, without waiting."""
    end = time.monotonic() + seconds
    with services().holds.hold() as held, services().changes.watch(job_id) as watch:
        caller = presence()
        caller.on_leave(watch.wake)
        while True:
            outcome = _outcome(job_id)
            left = end - time.monotonic()
            if outcome or not held or left <= 0 or caller.has_left:
                return outcome
            watch.wait(min(left, _LOOK_AGAIN_SECONDS))


def _outcome(job_id: str) -> bytes | None:
    """None also while Redis is away: the job is accepted, so nothing may be answered that says it is not."""
    try:
        return services().store.outcome(job_id)
    except RedisError:
        return None
