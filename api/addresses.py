"""The addresses of this gateway that callers are told."""

from __future__ import annotations

from urllib.parse import quote

from api.request import current_request
from api.services import services


def base_url() -> str:
    """COOP_PUBLIC_URL, else the address that the request came to; without a slash at the end."""
    if address := services().settings.public_url:
        return address.rstrip("/")
    request = current_request()
    # Without a host that makes sense, the one that the server has.
    host = request.host or "{SERVER_NAME}:{SERVER_PORT}".format(**request.environ)
    return f"{request.scheme}://{host}"


def job_url(request_id: str) -> str:
    return f"{base_url()}/api/jobs/{quote(request_id, safe=':')}"


def events_url(status_url: str) -> str:
    """Of the job whose `job_url` it is."""
    return f"{status_url}/events"
