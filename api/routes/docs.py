"""The description of this API: for programs at `/openapi.json`, for people at `/docs`."""

from __future__ import annotations

import json
from importlib import resources

from flask import Blueprint, Response

from api.addresses import base_url
from api.openapi import make_openapi

# The page's own script and style, and its request for the description; nothing from anywhere else.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
_PARTS = {"docs.js": "text/javascript", "docs.css": "text/css"}

routes = Blueprint("docs", __name__)


@routes.get("/openapi.json")
def openapi() -> Response:
    body = json.dumps(make_openapi(base_url()), ensure_ascii=False)
    return Response(body, content_type="application/json")


@routes.get("/docs")
def page() -> Response:
    response = Response(_read("docs.html"), content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _PAGE_POLICY
    return response


@routes.get("/docs/<any('docs.js', 'docs.css'):name>")
def part(name: str) -> Response:
    return Response(_read(name), content_type=f"{_PARTS[name]}; charset=utf-8")


def _read(name: str) -> str:
    return resources.files("api").joinpath("page", name).read_text(encoding="utf-8")
