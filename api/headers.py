"""The headers that every answer has: what a browser must not do with it, and how many more may be asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask

from api.limits import Limits
from api.services import services_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    Write = Callable[[bytes], object]

_ALWAYS = {
    "Server": "coop",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # No page of another origin reads an answer or holds this one's window; no CORS header is ever sent.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Answers are about one client's jobs at one moment.
    "Cache-Control": "no-store",
}
_TWO_YEARS = 2 * 365 * 24 * 3600


def install(app: Flask) -> None:
    always = dict(_ALWAYS)
    found = services_of(app)
    if found.settings.base_url.startswith("https://"):
        always["Strict-Transport-Security"] = f"max-age={_TWO_YEARS}"
    # Around the app, where headers are a plain list: as Werkzeug's they cost fifteen times as much.
    app.wsgi_app = _Headers(app.wsgi_app, always, found.limits)  # type: ignore[method-assign]  # Flask's way to wrap


class _Headers:
    """WSGI middleware: `always`, unless the answer has one of that name, and where the caller stands in its limits."""

    def __init__(self, app: WSGIApplication, always: dict[str, str], limits: Limits) -> None:
        self._app = app
        self._always = [(name.lower(), (name, value)) for name, value in always.items()]
        self._limits = limits

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, fields: list[tuple[str, str]], exc_info: OptExcInfo | None = None) -> Write:
            own = {name.lower() for name, _ in fields}
            fields.extend(field for name, field in self._always if name not in own)
            fields.extend(self._limits.standing().headers())  # Flask begins its answer while it is in the request
            return start_response(status, fields, exc_info)

        return self._app(environ, start)
