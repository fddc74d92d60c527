"""The addresses of this gateway that callers are told."""

from __future__ import annotations

from urllib.parse import quote

from api.request import current_request
from api.services import services


def base_url() -> str:
    """COOP_PUBLIC_URL, else the address that the request came to; without a slash at the end."""
    request = current_request()
    return (services().settings.public_url or f"{request.scheme}://{request.host}").rstrip("/")


def job_url(request_id: str) -> str:
    return f"{base_url()}/api/jobs/{quote(request_id, safe=':')}"


def events_url(status_url: str) -> str:
    """Of the job whose `job_url` it is."""
    return f"{status_url}/events"
