"""Signatures in the form of the Standard Webhooks specification: of requests to the gateway, and of callbacks.

A request signs more than its body, so that a signature cannot be carried to another address: the payload is
`{METHOD} {path}\\n{body}`, the path as it was sent, without the query. A callback is a message of the specification
to the letter.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import redis
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from coop.errors import Problem

TOLERANCE_SECONDS = 300
ID_MAX_LENGTH = 256
# A signature holds for at most 600 s: 300 s before and after the clock of the gateway.
SPENT_ID_SECONDS = 2 * TOLERANCE_SECONDS

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


class InvalidSignature(Exception):
    """A callback is not from coop, was changed on its way, or is more than five minutes old."""


def sign_request(secret: str, method: str, path: str, body: bytes, message_id: str, timestamp: int) -> dict[str, str]:
    """The three headers of a request. `message_id` is used once; `timestamp` is Unix seconds; `body` is UTF-8."""
    return _headers([secret], message_id, timestamp, _payload(method, path, body))


def sign_callback(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a callback, with one signature for each secret that holds."""
    return _headers(secrets, message_id, timestamp, body.decode())


def verify_request(
    secrets: Sequence[str], method: str, path: str, headers: Mapping[str, str], body: bytes, now: float
) -> str:
    """The request's `webhook-id`, when one of `secrets` signed it. `headers` is looked up in lower case.

    Raises Problem: missing_signature, stale_timestamp, invalid_signature; malformed_json for a body that is no UTF-8,
    which no text could have been signed of.
    """
    message_id, timestamp, signatures = (headers.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not (message_id and timestamp and signatures):
        raise Problem("missing_signature", f"Send {ID}, {TIMESTAMP} and {SIGNATURE}.")
    if len(message_id) > ID_MAX_LENGTH or not (message_id.isascii() and message_id.isprintable()):
        raise Problem("invalid_signature", f"{ID} is 1 to {ID_MAX_LENGTH} printable ASCII characters.")
    # Whole seconds in ASCII digits only: float() would take nan, 1e9, and digits of other scripts.
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise Problem("invalid_signature", f"{TIMESTAMP} is whole Unix seconds.")
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        raise Problem("stale_timestamp", f"{TIMESTAMP} is more than {TOLERANCE_SECONDS} s off; check the clock.")
    try:
        payload = _payload(method, path, body)
    except UnicodeDecodeError as error:
        raise Problem("malformed_json", "The body is not UTF-8.") from error
    # Signed over the header's own digits: a leading zero would otherwise sign as another text than was sent.
    expected = [_signature(secret, message_id, int(timestamp), payload) for secret in secrets]
    if str(int(timestamp)) != timestamp or not _any_equal(expected, signatures.split(" ")):
        raise Problem("invalid_signature", "No signature fits the request and the client's secret.")
    return message_id


@dataclass(frozen=True)
class Spending:
    """A client's use of a `webhook-id`, which is marked once its signature was found valid.

    A stranger without the secret can therefore neither fill Redis nor use up somebody's ids.
    """

    client: str
    message_id: str
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
    """Tells a call that is repeated, because its answer was lost, from another one."""

    @property
    def key(self) -> str:
        """Where Redis remembers it for SPENT_ID_SECONDS."""
        return f"coop:webhook-id:{self.client}:{self.message_id}"


def spend_id(redis_client: redis.Redis, spending: Spending) -> None:
    """Mark a `webhook-id` as used, in a step of its own. Raises Problem `replayed`."""
    before = redis_client.set(spending.key, spending.mark, nx=True, get=True, ex=SPENT_ID_SECONDS)
    if before not in (None, spending.mark.encode()):
        raise replayed()


def replayed() -> Problem:
    """What is told to whom used a `webhook-id` before."""
    return Problem("replayed", f"Sign every request anew, with a {ID} of its own.")


def verify_callback(secret: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The result document of a callback. Raises InvalidSignature."""
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
        document: dict[str, Any] = json.loads(body)
    # Malformed headers and bodies make the library raise plain ValueErrors (binascii.Error, UnicodeDecodeError).
    except (WebhookVerificationError, ValueError) as error:
        raise InvalidSignature(str(error)) from error
    return document


def _payload(method: str, path: str, body: bytes) -> str:
    return f"{method.upper()} {path}\n{body.decode()}"


def _headers(secrets: Sequence[str], message_id: str, timestamp: int, payload: str) -> dict[str, str]:
    signatures = (_signature(secret, message_id, timestamp, payload) for secret in secrets)
    return {ID: message_id, TIMESTAMP: str(timestamp), SIGNATURE: " ".join(signatures)}


def _signature(secret: str, message_id: str, timestamp: int, payload: str) -> str:
    return Webhook(secret).sign(message_id, datetime.fromtimestamp(timestamp, UTC), payload)


def _any_equal(expected: Iterable[str], given: Sequence[str]) -> bool:
    """Whether any pair is equal, in a time that does not tell which or how far."""
    pairs = [hmac.compare_digest(mine.encode(), theirs.encode()) for mine in expected for theirs in given]
    return any(pairs)
