"""Who calls, and may they: for every route that is not on the short list of public ones.

The order is the cheap and the certain first: size, key, network, signature, replay. A signature is spent only once it
was found valid. When Redis does not answer, the request is refused (503), never let through.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from types import TracebackType
from urllib.parse import quote

from flask import Flask

from api.bodies import raw_body, read_json
from api.peers import caller_address
from api.present import ApiRequest, present
from api.services import services
from coop.clients import Client, ClientRegistry
from coop.errors import Problem
from coop.webhooks import ID, SIGNATURE, TIMESTAMP, Spending, spend_id, verify_request

PUBLIC_ENDPOINTS = frozenset(
    {"health.live", "health.ready", "metrics.metrics", "docs.openapi", "docs.page", "docs.part"}
)
"""What may be asked without a key. A route that is not named here is closed."""

SPENT_WITH_THE_JOB = frozenset({"submit.process_video"})
"""Where the view spends the signature: in the step that keeps the job, or by `spend` when it does not come to that."""

_SIGNED_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# A client has a few secrets while they are rotated; a header of a thousand signatures would be work for nothing.
_SIGNATURES_MAX_LENGTH = 4096
_KEY_MAX_LENGTH = 256


def install(app: Flask) -> None:
    app.before_request(_enter)


def client() -> Client:
    """The client whose key the present request carries."""
    return _known(present())


def spending() -> Spending:
    """The present request's `webhook-id`, to be marked as used."""
    now = present()
    return Spending(_known(now).name, now.message_id, now.nonce)


def spend() -> None:
    """Mark the present request's `webhook-id` as used. Raises Problem `replayed`, or `rate_limited`."""
    with FailuresCounted():
        spend_id(services().redis, spending())


class FailuresCounted(AbstractContextManager[None]):  # used as a function
    """What fails to authenticate within counts; after too many it is told as `rate_limited`. So is a wrong address,
    which is not the client's fault: whoever guesses sends what looks like a mistake."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Problem) and error.status in (401, 403):
            raise services().limits.count_failure(error) from error


def _enter() -> None:
    """Identify, count, verify: what is over the limit costs no more than the look-up of its key."""
    now, found = present(), services()
    forwarded_for = now.header("X-Forwarded-For")
    now.address = caller_address(now.remote_addr or "", forwarded_for, found.settings.trusted_proxies)
    if now.endpoint is None or now.endpoint in PUBLIC_ENDPOINTS:
        found.limits.count_stranger()
        return
    raw_body()
    with FailuresCounted():
        caller = now.caller = _caller(now, found.clients)
    found.limits.count_client(caller)
    if now.method in _SIGNED_METHODS:
        with FailuresCounted():
            now.message_id = _verified_id(now, caller)
        if now.endpoint not in SPENT_WITH_THE_JOB:
            spend()


def _known(now: ApiRequest) -> Client:
    if now.caller is None:
        raise RuntimeError("nobody is known at an address that needs no key")
    return now.caller


def _caller(now: ApiRequest, clients: ClientRegistry) -> Client:
    caller = clients.by_key(_sent_key(now))
    if caller is None:
        raise Problem("invalid_key")
    if not caller.may_call_from(now.address):
        raise Problem("ip_not_allowed", f"{caller.name} may not call from {now.address}.")
    return caller


def _sent_key(now: ApiRequest) -> str:
    """The key of the Authorization header, else `apiKey` of the body. Raises Problem: missing_key, malformed_json."""
    header = now.header("Authorization")
    scheme, _, key = header.partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return _checked(key.strip())
    if not header and now.mimetype == "application/json":
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


def _verified_id(now: ApiRequest, caller: Client) -> str:
    """The request's `webhook-id`. A signature is spent only once it was found valid."""
    headers = {name: now.header(name) for name in (ID, TIMESTAMP, SIGNATURE)}
    if len(headers[SIGNATURE]) > _SIGNATURES_MAX_LENGTH:
        raise Problem("invalid_signature", f"{SIGNATURE} has at most {_SIGNATURES_MAX_LENGTH} characters.")
    sent = (caller.signing_secrets, now.method)
    try:
        return verify_request(*sent, now.path, headers, raw_body(), time.time())
    except Problem as problem:
        # The server hands over paths decoded; a caller that writes `:` as %3A signs what it wrote.
        encoded = quote(now.path, safe="/")
        if problem.code != "invalid_signature" or encoded == now.path:
            raise
        return verify_request(*sent, encoded, headers, raw_body(), time.time())
