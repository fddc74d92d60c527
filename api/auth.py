"""Who calls, and may they: for every route that is not on the short list of public ones.

The order is the cheap and the certain first: size, key, network, signature, replay. A signature is spent only once it
was found valid. When Redis does not answer, the request is refused (503), never let through.
"""

from __future__ import annotations

import time
from urllib.parse import quote

from flask import Flask, g, request

from api.bodies import raw_body, read_json
from api.services import services
from coop.clients import Client
from coop.errors import Problem
from coop.webhooks import spend_id, verify_request

PUBLIC_ENDPOINTS = frozenset(
    {"health.live", "health.ready", "metrics.metrics", "docs.openapi", "docs.page", "docs.part"}
)
"""What may be asked without a key. A route that is not named here is closed."""

_SIGNED_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def install(app: Flask) -> None:
    app.before_request(_authenticate)


def client() -> Client:
    """The client whose key the present request carries."""
    found: Client = g.client
    return found


def _authenticate() -> None:
    if request.endpoint is None or request.endpoint in PUBLIC_ENDPOINTS:
        return
    raw_body()
    caller = services().clients.by_key(_sent_key())
    if caller is None:
        raise Problem("invalid_key")
    if not caller.may_call_from(request.remote_addr or ""):
        raise Problem("ip_not_allowed", f"{caller.name} may not call from {request.remote_addr}.")
    # The place of the client's rate limit: after it is known who calls, before anything costs more than a look-up.
    if request.method in _SIGNED_METHODS:
        spend_id(services().redis, caller.name, _verified_id(caller))
    g.client = caller


def _sent_key() -> str:
    """The key of the Authorization header, else `apiKey` of the body. Raises Problem `missing_key`."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    if not request.headers.get("Authorization") and request.mimetype == "application/json":
        body = read_json(raw_body())
        sent = body.get("apiKey") if isinstance(body, dict) else None
        if isinstance(sent, str) and sent:
            return sent
    raise Problem("missing_key", "Send `Authorization: Bearer KEY`.")


def _verified_id(caller: Client) -> str:
    headers = {name.lower(): value for name, value in request.headers.items()}
    sent = (caller.signing_secrets, request.method)
    try:
        return verify_request(*sent, request.path, headers, raw_body(), time.time())
    except Problem as problem:
        # The server hands over paths decoded; a caller that writes `:` as %3A signs what it wrote.
        encoded = quote(request.path, safe="/")
        if problem.code != "invalid_signature" or encoded == request.path:
            raise
        return verify_request(*sent, encoded, headers, raw_body(), time.time())
