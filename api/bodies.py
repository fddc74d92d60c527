"""Reading a request's JSON strictly: what two parsers could read differently is refused."""

from __future__ import annotations

import json
from typing import Any, NoReturn, TypeVar, cast

from pydantic import BaseModel, ValidationError

from api.request import current_request
from coop.errors import Problem

BODY_LIMIT_BYTES = 64 * 1024
DEPTH_LIMIT = 16
"""Objects and lists within each other; the contract's deepest has two."""

REFUSAL = "coop.refusal"
"""Where the server tells, in the WSGI environment, why it did not read a body: a code of `PROBLEMS`."""

M = TypeVar("M", bound=BaseModel)


def raw_body() -> bytes:
    """The body as it was sent. Raises Problem: body_too_large (with or without a Content-Length), request_timeout."""
    request = current_request()
    if request.body is None:
        if REFUSAL in request.environ:
            raise Problem(request.environ[REFUSAL])
        # All of it is at hand: `api.rsgi` has read it, from a caller who may be slow.
        body = cast(bytes, request.environ["wsgi.input"].read(BODY_LIMIT_BYTES + 1))
        if len(body) > BODY_LIMIT_BYTES:
            request.environ[REFUSAL] = "body_too_large"  # the rest of it is no body
            raise Problem("body_too_large", f"A body has at most {BODY_LIMIT_BYTES} bytes.")
        request.body = body
    return request.body


def read_json(body: bytes) -> Any:
    """The JSON value of `body`. Raises Problem `malformed_json`: also for a name twice in an object, NaN, too deep."""
    try:
        value = _STRICT.decode(body.decode())
    except UnicodeDecodeError as error:
        raise Problem("malformed_json", "The body is not UTF-8.") from error
    except RecursionError as error:
        raise Problem("malformed_json", "The body is nested too deeply.") from error
    except ValueError as error:
        raise Problem("malformed_json", str(error)) from error
    if _depth(value) > DEPTH_LIMIT:
        raise Problem("malformed_json", "The body is nested too deeply.")
    return value


def _depth(value: Any) -> int:
    """How many objects and lists stand within each other. The parser's own recursion has bounded it already."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, (dict, list))]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth


def read_model(model: type[M]) -> M:
    """The request's body as a model. Raises Problem: unsupported_media_type, malformed_json, invalid_request."""
    if current_request().mimetype != "application/json":
        raise Problem("unsupported_media_type", "Send the body as application/json.")
    body = raw_body()
    read_json(body)
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise problem_of(error) from error


def read_query(model: type[M]) -> M:
    """The query string as a model. Raises Problem `invalid_request`, also for a name that is not known."""
    try:
        return model.model_validate(current_request().args.to_dict(), by_alias=True, by_name=False)
    except ValidationError as error:
        raise problem_of(error) from error


def problem_of(error: ValidationError) -> Problem:
    """The problem that names each wrong field; what was sent is not repeated, for it may be a key."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    if any(row["type"] == "json_invalid" for row in found):  # what pydantic's parser refuses, such as half a surrogate
        return Problem("malformed_json", found[0]["msg"])
    errors = [{"field": ".".join(map(str, row["loc"])), "detail": row["msg"]} for row in found]
    return Problem("invalid_request", "Some fields do not fit; `errors` names them.", errors)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_STRICT = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
