"""The Flask app, put together in one place."""

from __future__ import annotations

import time

from flask import Flask, Response, g, request

from api import auth, problems
from api.bodies import BODY_LIMIT_BYTES
from api.routes import docs, health, jobs, metrics, submit, transcripts
from api.services import install, open_services, services
from coop.settings import Settings

_SECURITY_HEADERS = {
    "Server": "coop",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    # Answers are about one client's jobs at one moment.
    "Cache-Control": "no-store",
}


def create_app(settings: Settings) -> Flask:
    """The gateway as a WSGI application. Redis may be away: requests are answered with 503 until it is there."""
    app = Flask("api", static_folder=None)
    # One more than is taken: a body without Content-Length is not refused by Werkzeug, but cut off at this length.
    app.config["MAX_CONTENT_LENGTH"] = BODY_LIMIT_BYTES + 1
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # no page of another origin may call with a key
    install(app, open_services(settings))
    app.before_request(_start_clock)
    auth.install(app)
    problems.install(app)
    for blueprint in (submit.routes, jobs.routes, transcripts.routes, health.routes, docs.routes, metrics.routes):
        app.register_blueprint(blueprint)
    app.after_request(_secure)
    app.after_request(_count)
    return app


def _start_clock() -> None:
    g.started = time.monotonic()


def _secure(response: Response) -> Response:
    for name, value in _SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _count(response: Response) -> Response:
    route = request.url_rule.rule if request.url_rule else "unmatched"
    services().traffic.record(route, response.status_code, time.monotonic() - g.started)
    return response
