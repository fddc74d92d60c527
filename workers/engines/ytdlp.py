"""The seam to yt-dlp: extract, download, captions. It runs in warm children behind the egress proxy, not in the worker.

All that goes wrong comes out as JobError with a code of the contract; nothing above knows yt-dlp's own words.
"""

from __future__ import annotations

import atexit
import threading
from pathlib import Path
from typing import Any

from coop.egress import check_url
from coop.errors import JobError
from coop.settings import Settings, SettingsError
from workers.engines.child import Child, ChildPool
from workers.engines.deadline import Deadline
from workers.engines.egress_proxy import EgressProxy
from workers.engines.nursery import Nursery, can_fork

_MODULE = "workers.engines.ytdlp_child"

# A forked child is there 8 ms later than one that waits, which takes 9 MB as long as it does.
FORKED_IDLE_SECONDS = 30.0

# When the egress rules refused a connection of the request, these say no more than that something did not work.
_VAGUE = frozenset(
    {
        *("source_error", "download_failed", "unsupported_url", "media_invalid", "video_unavailable", "no_audio"),
        *("internal", "url_not_allowed"),
    }
)


def extract(url: str, settings: Settings, deadline: Deadline, language: str | None = None) -> dict[str, Any]:
    """What the site tells of the video at `url`: yt-dlp's dictionary, slimmed to what the stages use.

    `formats` holds at most three formats to try, best first for speech in `language`; `subtitles` one entry per
    language of the uploader's own captions. Refuses what cannot be done (live, too long, a list, no sound, …).
    """
    check_url(url, settings)
    params = {"url": url, "language": language, "max_duration": settings.max_duration_seconds}
    return _tool(settings).request("extract", params, deadline)


def download(
    info: dict[str, Any], chosen: dict[str, Any], folder: Path, settings: Settings, deadline: Deadline
) -> Path:
    """Download the format `chosen` of `info`, both from `extract`, into `folder`; the path of the media file."""
    params = {"info": info, "format": chosen, "folder": str(folder)}
    answer = _tool(settings).request("download", params, deadline)
    return folder / str(answer["file"])


def captions(entry: dict[str, Any], folder: Path, settings: Settings, deadline: Deadline) -> str:
    """The text of one entry of `subtitles`, in the form that its `ext` names."""
    answer = _tool(settings).request("captions", {"entry": entry, "folder": str(folder)}, deadline)
    return str(answer["text"])


def check_sites(settings: Settings, deadline: Deadline) -> str:
    """The version of yt-dlp, once it knows all names of COOP_SITES; a warm child is there for the first job then.

    Takes up to a few seconds. Raises SettingsError for a name that yt-dlp does not know.
    """
    try:
        return str(_tool(settings).request("check_sites", {}, deadline)["version"])
    except JobError as error:
        if error.message.startswith("COOP_SITES"):
            raise SettingsError(error.message) from error
        raise


def close() -> None:
    """End every child and proxy of this process. The next call starts anew."""
    with _lock:
        tools = list(_tools.values())
        _tools.clear()
    for tool in tools:
        tool.close()


class _Tool:
    """The children and the proxy for one set of settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._proxy = EgressProxy(settings)
        self._counter = 0
        self._lock = threading.Lock()
        self._nursery: Nursery | None = None
        if can_fork():
            self._nursery = nursery = Nursery(_MODULE, self._common("nobody"))
            self._pool = ChildPool(lambda: Child(_MODULE, begin=nursery.start), idle_seconds=FORKED_IDLE_SECONDS)
        else:
            self._pool = ChildPool(lambda: Child(_MODULE))

    def request(self, method: str, params: dict[str, Any], deadline: Deadline) -> dict[str, Any]:
        user = self._next_user()
        try:
            return self._pool.request(method, params | self._common(user), deadline)
        except JobError as error:
            refusals = self._proxy.take_refusals(user)
            if refusals and error.code in _VAGUE:
                raise JobError("url_not_allowed", refusals[0]) from error
            raise
        finally:
            self._proxy.take_refusals(user)

    def _next_user(self) -> str:
        """A name for one request, under which the proxy keeps what it refused to it."""
        with self._lock:
            self._counter += 1
            return f"request-{self._counter}"

    def _common(self, user: str) -> dict[str, Any]:
        return {
            "proxy": self._proxy.url(user),
            "sites": list(self._settings.sites),
            "socket_timeout": self._settings.socket_timeout_seconds,
            "max_bytes": self._settings.max_media_bytes,
            "cache": str(self._settings.data_dir / "cache" / "yt-dlp"),
        }

    def close(self) -> None:
        self._pool.close()
        if self._nursery:
            self._nursery.close()
        self._proxy.close()


_lock = threading.Lock()
_tools: dict[Settings, _Tool] = {}


def _tool(settings: Settings) -> _Tool:
    with _lock:
        if settings not in _tools:
            _tools[settings] = _Tool(settings)
        return _tools[settings]


atexit.register(close)
