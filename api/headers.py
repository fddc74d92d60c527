"""The headers that every answer has: what a browser must not do with it, and how many more may be asked for."""

from __future__ import annotations

from flask import Flask, Response

from api.services import services

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
    app.after_request(_add)


def _add(response: Response) -> Response:
    for name, value in _ALWAYS.items():
        response.headers.setdefault(name, value)
    if services().settings.base_url.startswith("https://"):
        response.headers["Strict-Transport-Security"] = f"max-age={_TWO_YEARS}"
    response.headers.extend(services().limits.standing().headers())
    return response
