"""`GET /metrics`: the whole fleet's, whichever gateway is asked."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from api.services import services
from coop.job_store import Census
from coop.metrics import METRICS_KEY, Gauges, render

routes = Blueprint("metrics", __name__)


@routes.get("/metrics")
def metrics() -> Response:
    totals: Any = services().redis.hgetall(METRICS_KEY)
    text = render(totals, gauges_of(services().store.census()))
    return Response(text, content_type="text/plain; version=0.0.4; charset=utf-8")


def gauges_of(census: Census) -> Gauges:
    return {
        "coop_jobs_in_flight": {(stage,): number for stage, number in census.in_flight.items()},
        "coop_queue_depth": {(priority,): number for priority, number in census.queue_depth.items()},
        "coop_queue_oldest_seconds": {(): census.queue_oldest_seconds},
        "coop_machines": {(): census.machines},
        "coop_slots": {("busy",): census.slots_busy, ("free",): census.slots_free},
    }
