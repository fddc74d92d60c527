"""What Schemathesis must know of this API: the key, the signature, and which addresses are good ones.

Loaded by its command line through SCHEMATHESIS_HOOKS. COOP_KEY and COOP_SECRET are the credentials; without them every
request is a stranger's.
"""

from __future__ import annotations

import os
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

import requests
import schemathesis
from schemathesis.core.parameters import ParameterLocation

from coop.webhooks import sign_request

KEY, SECRET = os.environ.get("COOP_KEY", ""), os.environ.get("COOP_SECRET", "")
VIDEO, CALLBACK = "https://video.example.org/watch?v=1", "https://example.org/api/video-result"


class SignedByClient(requests.auth.AuthBase):
    """Signs the very bytes that are sent, if they carry the key."""

    def __call__(self, sent: requests.PreparedRequest) -> requests.PreparedRequest:
        if KEY and sent.headers.get("Authorization") == f"Bearer {KEY}" and sent.method in ("POST", "DELETE"):
            body = sent.body.encode() if isinstance(sent.body, str) else sent.body or b""
            path = urlsplit(sent.url or "").path
            try:
                signed = sign_request(SECRET, sent.method, path, body, secrets.token_hex(12), int(time.time()))
            except UnicodeDecodeError:  # no text of it could be signed
                return sent
            sent.headers.update(signed)
        return sent


if KEY:

    @schemathesis.auth()
    class ClientKey:
        def get(self, case: schemathesis.Case, context: schemathesis.AuthContext) -> str:
            return KEY

        def set(self, case: schemathesis.Case, data: str, context: schemathesis.AuthContext) -> None:
            case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    if case.meta and case.meta.is_negative_at(ParameterLocation.HEADER):
        case.headers.pop("Authorization", None)  # what it tries may be to leave out the credentials
        return
    kwargs["auth"] = SignedByClient()
    # Which addresses may be reached is no matter of a schema: of those that fit it, good ones are sent.
    if case.meta and case.meta.generation.mode.is_positive and isinstance(case.body, dict):
        if isinstance(case.body.get("videoUrl"), str):
            case.body["videoUrl"] = VIDEO
        server = case.body.get("serverInfo")
        if isinstance(server, dict) and isinstance(server.get("callbackUrl"), str):
            server["callbackUrl"] = CALLBACK
