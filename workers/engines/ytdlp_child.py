"""yt-dlp's own process: reads requests from standard input, a JSON line each, and answers on standard output.

Run by `workers.engines.child` as `python -m workers.engines.ytdlp_child`, or forked from a process that has loaded it
(`workers.engines.nursery`). It sees no secret of the worker, reaches the
net through the egress proxy only, and starts nothing but yt-dlp's JavaScript runtime.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yt_dlp
from yt_dlp.extractor import gen_extractor_classes
from yt_dlp.utils import YoutubeDLError

from coop.errors import JobError
from workers.engines.child_main import serve
from workers.engines.formats import choose_formats, usable_formats
from workers.engines.refusals import refuse_early, without_sound
from workers.engines.ytdlp_errors import job_error

_PAGE_BYTES = 64 * 2**20
_CAPTION_BYTES = 8 * 2**20
_CAPTION_KINDS = ("vtt", "srt", "json3")
_MAX_CAPTIONS = 60
_MAX_WARNINGS = 50

# What the stages read of yt-dlp's dictionary. The rest, above all hundreds of formats, stays in this process.
_KEPT = (
    *("id", "extractor", "extractor_key", "webpage_url", "webpage_url_domain", "original_url", "http_headers"),
    *("title", "description", "tags", "categories", "chapters", "heatmap", "language", "duration"),
    *("channel", "uploader", "creator", "view_count", "like_count"),
    *("timestamp", "release_timestamp"),
)


class _Warnings:
    """yt-dlp's logger: keeps what it says. Printing would go into the answers' pipe."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def debug(self, message: str) -> None:
        pass

    def warning(self, message: str) -> None:
        if len(self.lines) < _MAX_WARNINGS:
            self.lines.append(message[:2000])

    error = warning

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class _BoundedBody:
    """The body of a response that counts what is read of it against the budget of its downloader."""

    def __init__(self, body: Any, downloader: _Downloader) -> None:
        self._body = body
        self._downloader = downloader

    def read(self, *args: Any, **kwargs: Any) -> bytes:
        data: bytes = self._body.read(*args, **kwargs)
        self._downloader.spend(len(data))
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)


class _Downloader(yt_dlp.YoutubeDL):  # type: ignore[misc]  # yt-dlp has no types
    """yt-dlp with a bound on all that it reads from the net, whatever a server says of sizes."""

    def __init__(self, options: dict[str, Any], budget_bytes: int) -> None:
        self._left = budget_bytes
        super().__init__(options)

    def urlopen(self, req: Any) -> Any:
        response = super().urlopen(req)
        response.fp = _BoundedBody(response.fp, self)
        # The generic extractor would call a file's date the date of publication.
        del response.headers["Last-Modified"]
        return response

    def spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise JobError("too_large", "The site sends more than this service takes.")


@contextlib.contextmanager
def _downloader(params: dict[str, Any], budget_bytes: int, **more: Any) -> Iterator[tuple[_Downloader, _Warnings]]:
    warnings = _Warnings()
    with _Downloader(_options(params, warnings) | more, budget_bytes) as downloader:
        yield downloader, warnings


def _options(params: dict[str, Any], warnings: _Warnings) -> dict[str, Any]:
    """yt-dlp's options. Its own defaults for retries are none when it is called from Python."""
    return {
        "logger": warnings,
        "quiet": True,
        "noprogress": True,
        "color": "never",
        "proxy": params["proxy"],
        "allowed_extractors": _allowed_extractors(params["sites"]),
        "socket_timeout": params["socket_timeout"],
        "retries": 3,
        "fragment_retries": 3,
        "extractor_retries": 2,
        "file_access_retries": 1,
        "skip_unavailable_fragments": False,
        "concurrent_fragment_downloads": 4,
        # Its own downloaders only: an ffmpeg that it started would open addresses past the proxy.
        "external_downloader": {"default": "native"},
        "hls_prefer_native": True,
        "ffmpeg_location": "/nonexistent",
        "fixup": "never",
        "noplaylist": True,
        "extract_flat": "in_playlist",
        "playlist_items": "1:2",
        "cachedir": params["cache"],
        "restrictfilenames": True,
        "overwrites": True,
        "continuedl": True,
        "updatetime": False,
        "format": "ba/b",
    }


def _allowed_extractors(sites: list[str]) -> list[str]:
    """yt-dlp's regular expressions for COOP_SITES. A name covers its parts: `youtube` is `youtube:tab` too."""
    if not sites:
        return ["default", "-generic"]
    names = [site.lower() for site in sites]
    if "all" in names:
        return ["default"]
    _check_sites(names)
    # A page without an extractor of its own mostly shows its video in HTML5's element.
    more = ["html5"] if "generic" in names else []
    return [re.escape(name) + "(:.*)?" for name in names] + more


def _check_sites(names: list[str]) -> None:
    known = {extractor.IE_NAME.lower() for extractor in gen_extractor_classes()}
    for name in names:
        if name not in known:
            near = ", ".join(difflib.get_close_matches(name, known, 5)) or "yt-dlp's supportedsites.md lists them"
            raise JobError("internal", f"COOP_SITES: yt-dlp has no extractor {name!r} (near: {near}).", passing=False)


def check_sites(params: dict[str, Any]) -> dict[str, Any]:
    """Refuse names of `params["sites"]` that are unknown, and load what the first page would wait for."""
    with _downloader(params, _PAGE_BYTES) as (downloader, _warnings):
        # The catch-all shows every page to every extractor, each of which is imported only then.
        if "Generic" in downloader._ies:
            for extractor in downloader._ies.values():
                list(extractor.extract_from_webpage(downloader, "http://localhost/", ""))
    return {"version": yt_dlp.version.__version__}


def extract(params: dict[str, Any]) -> dict[str, Any]:
    """What the site tells of `params["url"]`, slimmed, with the formats to try and the uploader's captions."""
    with _downloader(params, _PAGE_BYTES, ignore_no_formats_error=True) as (downloader, warnings):
        try:
            info = _single_video(downloader, downloader.extract_info(params["url"], download=False))
        except (YoutubeDLError, OSError) as error:
            raise job_error(error, warnings.text) from error
        info = downloader.sanitize_info(info)
    refuse_early(info, params["max_duration"], params["max_bytes"])
    chosen = choose_formats(usable_formats(info), params["language"])
    if not chosen:
        raise without_sound(info, warnings.text)
    slim = {name: info[name] for name in _KEPT if info.get(name) is not None}
    return slim | {"formats": chosen, "subtitles": _captions_of(info)}


def _single_video(downloader: _Downloader, info: dict[str, Any] | None) -> dict[str, Any]:
    """The one video of a result: sites also give a list of one. Raises JobError for a true list, and for nothing."""
    if not info:
        raise JobError("unsupported_url")
    if info.get("_type") not in ("playlist", "multi_video"):
        return info
    entries = [entry for entry in info.get("entries") or () if entry]
    if not entries:
        raise JobError("unsupported_url")
    if len(entries) > 1 or (info.get("playlist_count") or 1) > 1 or info["_type"] == "multi_video":
        raise JobError("playlist_not_supported")
    (entry,) = entries
    if entry.get("_type") in ("url", "url_transparent"):
        if info.get("webpage_url") == entry.get("url"):
            raise JobError("unsupported_url")
        entry = downloader.extract_info(entry["url"], download=False, ie_key=entry.get("ie_key"))
        if entry and entry.get("_type") in ("playlist", "multi_video"):
            raise JobError("playlist_not_supported")
    if not entry:
        raise JobError("unsupported_url")
    result: dict[str, Any] = entry
    return result


def _captions_of(info: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The uploader's captions by language, one entry each in a form that can be read."""
    found = {}
    for language, entries in list((info.get("subtitles") or {}).items())[:_MAX_CAPTIONS]:
        readable = [entry for entry in entries if entry.get("ext") in _CAPTION_KINDS]
        if readable and language != "live_chat":
            found[language] = min(readable, key=lambda entry: _CAPTION_KINDS.index(entry["ext"]))
    return found


def download(params: dict[str, Any]) -> dict[str, Any]:
    """Download the format `params["format"]` of `params["info"]` into `params["folder"]`; the file's name."""
    folder = Path(params["folder"])
    limit = params["max_bytes"]
    # `process_ie_result` changes what it is given; formats carry their own headers and cookies.
    # It comes by way of Redis: only what `extract` left there is taken.
    known = {name: params["info"][name] for name in _KEPT if name in params["info"]}
    info = dict(known, formats=[params["format"]], subtitles={})
    more = {"paths": {"home": str(folder)}, "outtmpl": {"default": "media.%(ext)s"}, "max_filesize": limit}
    with _downloader(params, limit + 2**20, **more) as (downloader, warnings):
        try:
            downloader.process_ie_result(info, download=True)
        except (YoutubeDLError, OSError) as error:
            raise job_error(error, warnings.text, downloading=True) from error
    # A file over `max_filesize` is reported as success, without a file.
    files = [path for path in folder.glob("media.*") if path.suffix not in (".part", ".ytdl")]
    if not files:
        raise JobError("too_large")
    if files[0].stat().st_size == 0:
        raise JobError("media_invalid", "The media file is empty.")
    return {"file": files[0].name}


def captions(params: dict[str, Any]) -> dict[str, Any]:
    """The text of the captions `params["entry"]`, which is one of those that `extract` gave."""
    entry = dict(params["entry"])
    if isinstance(entry.get("data"), str):
        return {"text": entry["data"]}
    if entry.get("ext") not in _CAPTION_KINDS:
        raise JobError("download_failed", "The captions are of no kind that is read.")
    target = Path(params["folder"]) / f"captions.{entry['ext']}"
    with _downloader(params, _CAPTION_BYTES) as (downloader, warnings):
        try:
            downloader.dl(str(target), entry, subtitle=True)
        except (YoutubeDLError, OSError) as error:
            raise job_error(error, warnings.text, downloading=True) from error
    if not target.exists():
        raise JobError("download_failed", warnings.text[:300] or None)
    return {"text": target.read_text(encoding="utf-8", errors="replace")}


HANDLERS = {"extract": extract, "download": download, "captions": captions, "check_sites": check_sites}
PREPARE = check_sites

if __name__ == "__main__":
    serve(HANDLERS)
