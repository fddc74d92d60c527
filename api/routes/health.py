"""Whether this gateway lives, and whether it can take jobs."""

from __future__ import annotations

from flask import Blueprint, Response

from api.access import json_response
from api.problems import RETRY_AFTER_SECONDS
from api.services import services
from coop.errors import Problem

routes = Blueprint("health", __name__)


@routes.get("/health/live")
def live() -> Response:
    """Says nothing of Redis: to restart a gateway because Redis is away would help nobody."""
    return json_response(b'{"status":"ok"}')


@routes.get("/health/ready")
def ready() -> Response:
    """503 when Redis does not answer, or would not keep what is accepted."""
    complaints = services().store.check()
    if complaints:
        raise Problem("unavailable", "; ".join(complaints), retry_after=RETRY_AFTER_SECONDS)
    return json_response(b'{"status":"ready"}')
