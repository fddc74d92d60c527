"""The OpenAPI 3.1 document, made from the pydantic models and the table of error codes.

A framework that makes it (apiflask, flask-openapi3, spectree) would also want to parse and validate requests its own
way, while here the size, the key and the signature come before the body is looked at; the table below is what is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from coop import __version__
from coop.documents import (
    REQUEST_ID_PATTERN,
    Accepted,
    FailureDocument,
    JobDocument,
    JobList,
    JobListQuery,
    JobSummary,
    ProblemDocument,
    SubmitRequest,
    SuccessDocument,
)
from coop.errors import PROBLEMS
from coop.webhooks import ID, SIGNATURE, TIMESTAMP

Schema = dict[str, Any]

_SENT: tuple[type[BaseModel], ...] = (
    Accepted,
    SuccessDocument,
    FailureDocument,
    JobDocument,
    JobSummary,
    JobList,
    ProblemDocument,
)
_REF = "#/components/schemas/{model}"


class Answer(NamedTuple):
    """One success answer: its status, what it is, and its schema (or a media type of plain text)."""

    status: int
    description: str
    schema: Schema
    media_type: str = "application/json"
    headers: tuple[str, ...] = ()


class Operation(NamedTuple):
    path: str
    method: str
    id: str
    summary: str
    answers: tuple[Answer, ...]
    problems: tuple[str, ...] = ()
    public: bool = False
    body: bool = False
    query: bool = False
    prefer: bool = False


def _ref(model: type[BaseModel]) -> Schema:
    return {"$ref": _REF.format(model=model.__name__)}


_TEXT: Schema = {"type": "string"}
# OpenAPI 3.1 says nothing of streams; this is one event of it, as tools that know them read it.
_EVENT: Schema = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"const": "job"},
        "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": _ref(JobSummary)},
    },
}
_STATUS: Schema = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
_JOB = Answer(200, "The job.", _ref(JobDocument))
_JOB_AGAIN = Answer(202, "The job, which goes on.", _ref(JobDocument))
_FINAL = Answer(
    200,
    "With `Prefer: wait=N`: the final document of a job that ended in time.",
    {"oneOf": [_ref(SuccessDocument), _ref(FailureDocument)]},
    headers=("Preference-Applied", "Idempotent-Replay"),
)
_ACCEPTED = Answer(
    202,
    "The job is kept and will be done.",
    _ref(Accepted),
    headers=("Location", "Preference-Applied", "Idempotent-Replay"),
)
_JOB_PATH = "/api/jobs/{requestId}"

_AUTH = (
    "missing_key",
    "invalid_key",
    "ip_not_allowed",
    "request_timeout",
    "body_too_large",
    "not_acceptable",
    "unavailable",
)
_ALWAYS = ("rate_limited", "internal")
_SIGNED = ("missing_signature", "invalid_signature", "stale_timestamp", "replayed")
_SUBMIT = (
    "malformed_json",
    "callback_host_not_allowed",
    "request_id_conflict",
    "unsupported_media_type",
    "invalid_request",
    "url_not_allowed",
    "queue_full",
)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "/api/process-video",
        "post",
        "processVideo",
        "Have a video understood",
        (_ACCEPTED, _FINAL),
        _SUBMIT,
        body=True,
        prefer=True,
    ),
    Operation(
        "/api/jobs",
        "get",
        "listJobs",
        "The client's jobs, newest first, each without its `result`",
        (Answer(200, "A page of jobs.", _ref(JobList)),),
        ("invalid_request",),
        query=True,
    ),
    Operation(_JOB_PATH, "get", "getJob", "Where a job is, and its result", (_JOB,), ("not_found",)),
    Operation(_JOB_PATH, "delete", "cancelJob", "Cancel a job", (_JOB,), ("not_found", "not_cancellable")),
    Operation(
        f"{_JOB_PATH}/events",
        "get",
        "streamEvents",
        "Server-sent events `job`: the document without `result`, at the start and after each change",
        (Answer(200, "A stream that ends after the last change.", _EVENT, "text/event-stream"),),
        ("not_found",),
    ),
    *(
        Operation(
            f"{_JOB_PATH}/transcript.{form}",
            "get",
            f"getTranscript{form.title()}",
            f"What is said, as {title}",
            (Answer(200, "The transcript; empty for a video without speech.", _TEXT, media_type),),
            ("not_found",),
        )
        for form, title, media_type in (
            ("txt", "plain text", "text/plain"),
            ("srt", "SubRip", "application/x-subrip"),
            ("vtt", "WebVTT", "text/vtt"),
        )
    ),
    Operation(
        f"{_JOB_PATH}/retry",
        "post",
        "retryJob",
        "Drive a job that failed or was cancelled again",
        (_JOB_AGAIN,),
        ("not_found", "not_retryable"),
    ),
    Operation(
        f"{_JOB_PATH}/redeliver",
        "post",
        "redeliverJob",
        "Send the result to the callback URL again",
        (_JOB_AGAIN,),
        ("not_found", "not_retryable"),
    ),
    Operation(
        "/health/live", "get", "live", "Whether the gateway lives", (Answer(200, "It does.", _STATUS),), public=True
    ),
    Operation(
        "/health/ready",
        "get",
        "ready",
        "Whether jobs can be taken",
        (Answer(200, "They can.", _STATUS),),
        ("unavailable",),
        public=True,
    ),
    Operation(
        "/metrics",
        "get",
        "metrics",
        "The fleet's metrics",
        (Answer(200, "Prometheus' text format.", _TEXT, "text/plain"),),
        ("unavailable",),
        public=True,
    ),
    Operation(
        "/openapi.json", "get", "openapi", "This document", (Answer(200, "It.", {"type": "object"}),), public=True
    ),
    Operation(
        "/docs", "get", "docs", "This document for people", (Answer(200, "A page.", _TEXT, "text/html"),), public=True
    ),
)

_HEADERS: dict[str, Schema] = {
    "Location": {"description": "Where the job is.", "schema": {"type": "string", "format": "uri"}},
    "Idempotent-Replay": {
        "description": "`true` when the same request was accepted before.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Preference-Applied": {"description": "The wait that was granted.", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds to wait before trying again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"description": "What is to be sent.", "required": True, "schema": {"type": "string"}},
    "RateLimit-Policy": {
        "description": '`"NAME";q=REQUESTS;w=SECONDS`: what is counted, how many are taken, in which time.',
        "schema": {"type": "string"},
    },
    "RateLimit": {
        "description": '`"NAME";r=REQUESTS;t=SECONDS`: how many are left, and when there are all again.',
        "schema": {"type": "string"},
    },
    "X-Request-Id": {
        "description": "This request's id in the logs: the caller's own, if it sent one that makes sense.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
}
_EVERYWHERE = ("RateLimit-Policy", "RateLimit", "X-Request-Id")

_SECURITY_SCHEMES: dict[str, Schema] = {
    "key": {"type": "http", "scheme": "bearer", "description": "The client's key. `apiKey` in the body is taken too."},
    **{
        name: {"type": "apiKey", "in": "header", "name": name, "description": meaning}
        for name, meaning in (
            (ID, "Used once."),
            (TIMESTAMP, "Unix seconds, at most 300 s off."),
            (
                SIGNATURE,
                "`v1,BASE64` of HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{METHOD} {path}\\n{body}`.",
            ),
        )
    },
}


def make_openapi(server_url: str) -> Schema:
    """The document, for a gateway that is reached at `server_url`."""
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "coop",
            "version": __version__,
            "summary": "Short videos understood on machines that people already own.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": server_url}],
        "paths": paths,
        "components": {"schemas": _schemas(), "securitySchemes": _SECURITY_SCHEMES, "headers": _HEADERS},
    }


def _schemas() -> dict[str, Schema]:
    """Of what is read, the form that is taken; of what is sent, the form that is sent, in which no field is missing."""
    modes = [(SubmitRequest, "validation"), *((model, "serialization") for model in _SENT)]
    _, document = models_json_schema(modes, by_alias=True, ref_template=_REF)  # type: ignore[arg-type]  # literals widen
    schemas: dict[str, Schema] = document["$defs"]
    return schemas


def _operation(operation: Operation) -> Schema:
    signed = operation.method in ("post", "delete")
    own = () if operation.public else (*_AUTH, *(_SIGNED if signed else ()))
    codes = (*own, *operation.problems, *_ALWAYS)
    found: Schema = {
        "operationId": operation.id,
        "summary": operation.summary,
        "security": [] if operation.public else [_security(signed)],
        "responses": {**_answers(operation.answers), **_problems(codes)},
    }
    parameters = [*_path_parameters(operation), *_query_parameters(operation), *_prefer_parameter(operation)]
    if parameters:
        found["parameters"] = parameters
    if operation.body:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(SubmitRequest)}}}
    return found


def _security(signed: bool) -> dict[str, list[str]]:
    return {name: [] for name in _SECURITY_SCHEMES if signed or name == "key"}


def _answers(answers: Iterable[Answer]) -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for answer in answers:
        found[str(answer.status)] = {
            "description": answer.description,
            "content": {answer.media_type: {"schema": answer.schema}},
            "headers": _header_refs((*answer.headers, *_EVERYWHERE)),
        }
        if answer is _ACCEPTED:
            found[str(answer.status)]["links"] = _links()
    return found


def _links() -> dict[str, Schema]:
    """What can be asked about the job that was accepted."""
    about_job = (operation for operation in OPERATIONS if operation.path.startswith(_JOB_PATH))
    parameters = {"requestId": "$response.body#/requestId"}
    return {operation.id: {"operationId": operation.id, "parameters": parameters} for operation in about_job}


def _problems(codes: Iterable[str]) -> dict[str, Schema]:
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(PROBLEMS[code][0], []).append(code)
    return {str(status): _problem(status, found) for status, found in sorted(by_status.items())}


def _problem(status: int, codes: list[str]) -> Schema:
    titles = "; ".join(f"`{code}`: {PROBLEMS[code][1]}" for code in codes)
    narrowed = {"allOf": [_ref(ProblemDocument), {"properties": {"code": {"enum": codes}}}]}
    found: Schema = {"description": titles, "content": {"application/problem+json": {"schema": narrowed}}}
    own = ("Retry-After",) if status in (429, 503) else ("WWW-Authenticate",) if status == 401 else ()
    found["headers"] = _header_refs((*own, *_EVERYWHERE))
    return found


def _header_refs(names: Iterable[str]) -> dict[str, Schema]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _path_parameters(operation: Operation) -> list[Schema]:
    if "{requestId}" not in operation.path:
        return []
    schema = {"type": "string", "pattern": REQUEST_ID_PATTERN}
    return [{"name": "requestId", "in": "path", "required": True, "schema": schema}]


def _query_parameters(operation: Operation) -> list[Schema]:
    if not operation.query:
        return []
    schema = JobListQuery.model_json_schema(by_alias=True, ref_template=_REF)
    rows = schema["properties"].items()
    return [{"name": name, "in": "query", "description": row.pop("description"), "schema": row} for name, row in rows]


def _prefer_parameter(operation: Operation) -> list[Schema]:
    if not operation.prefer:
        return []
    text = "`wait=N` (RFC 7240) holds the request up to N seconds and answers with the final document if it is there."
    return [{"name": "Prefer", "in": "header", "description": text, "schema": {"type": "string"}}]
