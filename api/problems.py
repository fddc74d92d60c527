"""Every refusal of the gateway, as an RFC 9457 problem document."""

from __future__ import annotations

import redis
from flask import Flask, Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from api.addresses import base_url
from api.request import current_request
from coop.documents import FieldError, ProblemDocument
from coop.errors import PROBLEMS, Problem
from coop.logs import get_logger

RETRY_AFTER_SECONDS = 5
"""What a caller is asked to wait when Redis does not answer: about what its restart takes."""

# What Flask and Werkzeug refuse by themselves, in the words of the contract.
_CODES = {status: code for code, (status, _) in PROBLEMS.items() if status in (404, 405, 406, 413, 415, 503)}

log = get_logger(__name__)


def unavailable() -> Problem:
    return Problem("unavailable", "Redis does not answer.", retry_after=RETRY_AFTER_SECONDS)


def problem_response(problem: Problem) -> Response:
    """The answer that tells a problem, with `Retry-After` and `WWW-Authenticate` where they belong."""
    current_request().code = problem.code
    document = ProblemDocument(
        type=f"{base_url()}/docs#{problem.code}",
        title=problem.title,
        status=problem.status,
        detail=problem.detail or problem.title,
        code=problem.code,
        errors=tuple(FieldError(**error) for error in problem.errors) if problem.errors else None,
    )
    body = document.model_dump_json(by_alias=True, exclude_none=True)
    response = Response(body, problem.status, content_type="application/problem+json")
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    if problem.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="coop"'
    return response


def install(app: Flask) -> None:
    app.register_error_handler(Problem, problem_response)
    app.register_error_handler(HTTPException, _refused_by_flask)
    app.register_error_handler(redis.RedisError, _redis_away)
    app.register_error_handler(Exception, _unforeseen)


def _refused_by_flask(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:
        return Response(status=status, headers=error.get_headers())
    fallback = "malformed_json" if status < 500 else "internal"
    response = problem_response(Problem(_CODES.get(status, fallback), error.description))
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _redis_away(error: redis.RedisError) -> Response:
    log.warning("Redis does not answer", error=str(error), route=str(current_request().url_rule))
    return problem_response(unavailable())


def _unforeseen(error: Exception) -> Response:
    """The one catch-all: reported with its traceback, told to the caller without."""
    log.error("a request failed", exc_info=error, route=str(current_request().url_rule))
    return problem_response(Problem("internal"))
