"""The Flask app, put together in one place."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter

from api import audit, auth, headers, problems
from api.request import ApiRequest, current_request
from api.routes import docs, health, jobs, metrics, submit, transcripts
from api.services import install, open_services, services
from coop.settings import Settings


class _NoSessions(SessionInterface):
    """There are no cookies here: Flask would look for one, and for the key that signs it, with each request."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return self._none


class _App(Flask):
    request_class = ApiRequest
    session_interface = _NoSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """There are no coroutines among the views and hooks, and Flask would look for them with each request."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Routes are found by path and method alone; Flask's own way reads the host for it, with each request."""
        if request is None:
            return None
        # Werkzeug takes several slashes at the beginning for one, and a caller has signed several.
        is_odd = request.environ["PATH_INFO"].startswith("//")
        return MapAdapter(
            self.url_map,
            server_name="",
            script_name="/",
            subdomain="",
            url_scheme=request.scheme,
            path_info=f"/-{request.path}" if is_odd else request.path,
            default_method=request.method,
        )


def create_app(settings: Settings) -> Flask:
    """The gateway as a WSGI application, whose server has read the whole body before it calls (`api.rsgi`).

    Redis may be away: requests are answered with 503 until it is there.
    """
    app = _App("api", static_folder=None)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # no page of another origin may call with a key
    app.url_map.merge_slashes = False  # `//` would be answered with a redirect, which the contract does not know
    install(app, open_services(settings))
    audit.install(app)
    auth.install(app)
    problems.install(app)
    for blueprint in (submit.routes, jobs.routes, transcripts.routes, health.routes, docs.routes, metrics.routes):
        app.register_blueprint(blueprint)
    # Called in the reverse order: the line is written when all else is said.
    app.after_request(audit.finish)
    app.after_request(_count)
    headers.install(app)
    return app


def _count(response: Response) -> Response:
    request = current_request()
    route = request.url_rule.rule if request.url_rule else "unmatched"
    services().traffic.record(route, response.status_code, time.monotonic() - request.started)
    return response
