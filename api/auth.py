"""Who calls, and may they: for every route that is not on the short list of public ones.

The order is the cheap and the certain first: size, key, network, rate, signature, replay. A signature is spent only
once it was found valid. When Redis does not answer, the request is refused (503), never let through.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from urllib.parse import quote

from flask import Flask

from api.bodies import raw_body, read_json
from api.peers import caller_address
from api.request import ApiRequest, current_request
from api.services import services
from coop.clients import Client
from coop.errors import Problem
from coop.webhooks import ID, SIGNATURE, TIMESTAMP, Spending, spend_id, verify_request

PUBLIC_ENDPOINTS = frozenset(
    {"health.live", "health.ready", "metrics.metrics", "docs.openapi", "docs.page", "docs.part"}
)
"""What may be asked without a key. A route that is not named here is closed."""

SETTLED_WITH_THE_JOB = frozenset({"submit.process_video"})
"""Where the step that keeps the job spends the signature and sees to it that the client is still what it was a moment
ago. When it does not come to that, the view calls `look_again` and `spend`."""

_SIGNED_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# A client has a few secrets while they are rotated; a header of a thousand signatures would be work for nothing.
_SIGNATURES_MAX_LENGTH = 4096
_KEY_MAX_LENGTH = 256


def install(app: Flask) -> None:
    app.before_request(_enter)


def client() -> Client:
    """The client whose key the present request carries."""
    return _known(current_request())


def spending() -> Spending:
    """The present request's `webhook-id`, to be marked as used."""
    request = current_request()
    if request.message_id is None:
        raise RuntimeError("no signature was found valid")
    return Spending(_known(request).name, request.message_id, request.nonce)


def spend() -> None:
    """Mark the present request's `webhook-id` as used. Raises Problem `replayed`, or `rate_limited`."""
    with failures_counted:
        spend_id(services().redis, spending())


class _FailuresCounted(AbstractContextManager[None]):
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Problem) and error.status in (401, 403):
            told = services().limits.count_failure(error)
            if told is not error:
                raise told from error


failures_counted = _FailuresCounted()
"""What fails to authenticate within counts; after too many it is told as `rate_limited`. So is a wrong address, which
is not the client's fault: whoever guesses sends what looks like a mistake. It has no state: one does for all."""


def _enter() -> None:
    """Identify, count, verify: what is over the limit costs no more than the look-up of its key."""
    request, found = current_request(), services()
    forwarded_for = request.header("X-Forwarded-For")
    request.address = caller_address(request.remote_addr or "", forwarded_for, found.settings.trusted_proxies)
    if request.endpoint is None or request.endpoint in PUBLIC_ENDPOINTS:
        found.limits.count_stranger()
        return
    raw_body()
    with failures_counted:
        key = _sent_key(request)
    remembered = found.clients.remembered(key) if request.endpoint in SETTLED_WITH_THE_JOB else None
    if remembered and remembered.may_call_from(request.address):
        request.caller, request.is_remembered = remembered, True
    else:
        _look_up(request, key)
    try:
        found.limits.count_client(_known(request))
    except Problem:
        if request.is_remembered:
            _look_up(request, key)  # who was removed is told so, and not to come again
        raise
    if request.method in _SIGNED_METHODS:
        _verify(request, key)
        if request.endpoint not in SETTLED_WITH_THE_JOB:
            spend()


def _look_up(request: ApiRequest, key: str) -> None:
    """Whose key it is by what Redis says."""
    request.caller, request.message_id, request.is_remembered = None, None, False
    with failures_counted:
        request.caller = _caller(request, key)


def _verify(request: ApiRequest, key: str) -> None:
    """A signature that does not fit what is remembered may fit what Redis says."""
    if request.is_remembered:
        with suppress(Problem):
            request.message_id = _verified_id(request)
            return
        _look_up(request, key)
    with failures_counted:
        request.message_id = _verified_id(request)


def look_again() -> bool:
    """Look a client that was only remembered up, and the request by it; False when that was done already.

    Raises Problem as for any request.
    """
    request = current_request()
    if not request.is_remembered:
        return False
    key = _sent_key(request)
    _look_up(request, key)
    _verify(request, key)
    return True


def _known(request: ApiRequest) -> Client:
    if request.caller is None:
        raise RuntimeError("nobody is known at an address that needs no key")
    return request.caller


def _caller(request: ApiRequest, key: str) -> Client:
    caller = services().clients.by_key(key)
    if caller is None:
        raise Problem("invalid_key")
    if not caller.may_call_from(request.address):
        raise Problem("ip_not_allowed", f"{caller.name} may not call from {request.address}.")
    return caller


def _sent_key(request: ApiRequest) -> str:
    """The key of the Authorization header, else `apiKey` of the body. Raises Problem: missing_key, malformed_json."""
    header = request.header("Authorization")
    scheme, _, key = header.partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return _checked(key.strip())
    if not header and request.mimetype == "application/json":
        body = read_json(raw_body())
        sent = body.get("apiKey") if isinstance(body, dict) else None
        if isinstance(sent, str) and sent:
            return _checked(sent)
    raise Problem("missing_key", "Send `Authorization: Bearer KEY`.")


def _checked(key: str) -> str:
    """Keys are of our own making, ASCII and short: nothing else is worth a look-up."""
    if len(key) > _KEY_MAX_LENGTH or not key.isascii():
        raise Problem("invalid_key")
    return key


def _verified_id(request: ApiRequest) -> str:
    """The request's `webhook-id`."""
    headers = {name: request.header(name) for name in (ID, TIMESTAMP, SIGNATURE)}
    if len(headers[SIGNATURE]) > _SIGNATURES_MAX_LENGTH:
        raise Problem("invalid_signature", f"{SIGNATURE} has at most {_SIGNATURES_MAX_LENGTH} characters.")
    sent = (_known(request).signing_secrets, request.method)
    try:
        return verify_request(*sent, request.path, headers, raw_body(), time.time())
    except Problem as problem:
        # The server hands over paths decoded; a caller that writes `:` as %3A signs what it wrote.
        encoded = quote(request.path, safe="/")
        if problem.code != "invalid_signature" or encoded == request.path:
            raise
        return verify_request(*sent, encoded, headers, raw_body(), time.time())
