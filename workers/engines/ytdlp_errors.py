"""What yt-dlp raises and says, as codes of the contract. Loaded in yt-dlp's child only.

Most of the texts are the sites' own, passed on by yt-dlp: they are tested top to bottom, the narrow ones first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from yt_dlp.networking.exceptions import HTTPError, NoSupportingHandlers, RequestError, TransportError
from yt_dlp.utils import (
    ContentTooShortError,
    DownloadError,
    GeoRestrictedError,
    UnavailableVideoError,
    UnsupportedError,
    UserNotLive,
    YoutubeDLError,
)

from coop.backoff import retry_after_seconds
from coop.errors import JobError

_TEXTS: tuple[tuple[str, str], ...] = (
    (r"not allowed by ruleset|cannot complete SOCKS5 connection to .* \(2\)", "url_not_allowed"),
    (r"file:// URLs are disabled|Unsupported url scheme", "url_not_allowed"),
    (r"not a bot|captcha|IP is likely being blocked|IP address is blocked|anti-bot challenge", "bot_check"),
    (r"IP address is unable to access", "bot_check"),
    (r"rate-limit|Too Many Requests", "source_rate_limited"),
    (r"confirm your age|age-restricted|inappropriate|NSFW|not be comfortable|Restricted Video", "age_restricted"),
    (
        r"members-only|to this channel's members|Join this channel|only available (for|to) .*(subscribers|premium)",
        "members_only",
    ),
    (r"private video|video is private|permission to view this post|protected tweet", "video_private"),
    (r"users who follow this account", "video_private"),
    (r"available in your country|geo.?restrict|from your location", "geo_blocked"),
    (r"Premieres in|will begin in|live event has not started", "not_yet_live"),
    (r"channel is not currently live|live event has ended", "video_unavailable"),
    (r"DRM protected|DRM-protected", "drm_protected"),
    (
        r"registered users|Use --cookies|requiring login|login page|empty media response|log ?in to|sign in",
        "login_required",
    ),
    (r"Unsupported URL|No suitable extractor|is not a valid URL|looks truncated|forget to quote", "unsupported_url"),
    (r"no video in this|No video could be found|No media found|no video formats? .*playlist", "unsupported_url"),
    (
        r"Video unavailable|video is not available|not available|has been removed|is unavailable|does not exist",
        "video_unavailable",
    ),
    (r"larger than max-filesize", "too_large"),
    (r"did not get any data blocks|fragment not found.*empty", "media_invalid"),
    (r"timed out|Failed to resolve|Connection|Got error|unreachable", "source_error"),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), code) for pattern, code in _TEXTS)

_BY_STATUS = {
    401: "login_required",
    404: "video_unavailable",
    410: "video_unavailable",
    429: "source_rate_limited",
    451: "geo_blocked",
}


def job_error(error: BaseException, warnings: str = "", *, downloading: bool = False) -> JobError:
    """The error of the contract for what yt-dlp raised. `warnings`: what it said before."""
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, JobError):
            return cause
    text = " ".join(str(cause) for cause in chain)
    code = code_of_text(text) if _is_refused(text) else None
    if code is None:
        for cause in chain:
            if isinstance(cause, HTTPError):
                return _of_status(cause, text, downloading=downloading)
        code = _of_class(chain) or code_of_text(text) or code_of_text(warnings) or _otherwise(chain, downloading)
    if downloading and code == "source_error":
        code = "download_failed"
    return JobError(code, _message(code, text))


def code_of_text(text: str) -> str | None:
    """The code that `text` names by a known phrase; None when it holds none."""
    return next((code for pattern, code in _COMPILED if pattern.search(text)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and all that caused it, outermost first."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = getattr(current, "exc_info", None)
        waiting += [
            inner[1] if inner else None,
            getattr(current, "cause", None),
            current.__cause__,
            current.__context__,
        ]
        waiting = [cause for cause in waiting if isinstance(cause, BaseException)]


def _is_refused(text: str) -> bool:
    return code_of_text(text) == "url_not_allowed"


def _of_status(error: HTTPError, text: str, *, downloading: bool) -> JobError:
    status = error.status
    retry_after = retry_after_seconds(error.response.headers.get("Retry-After")) if status in (429, 503) else None
    if error.redirect_loop:
        return JobError("source_error", "The site redirects in a circle.", passing=False)
    if downloading and status not in (429, 451) and status < 500:
        return JobError("download_failed", f"The site answered {status} for the media.")
    code = _BY_STATUS.get(status)
    if code is None and status == 403:
        code = code_of_text(text)
    code = code or "source_error"
    return JobError(code, f"The site answered {status}.", retry_after=retry_after)


def _of_class(chain: list[BaseException]) -> str | None:
    for cause in chain:
        if isinstance(cause, GeoRestrictedError):
            return "geo_blocked"
        if isinstance(cause, (UnsupportedError, NoSupportingHandlers)):
            return "unsupported_url"
        if isinstance(cause, UserNotLive):
            return "video_unavailable"
    return None


def _otherwise(chain: list[BaseException], downloading: bool) -> str:
    if downloading and any(isinstance(cause, (DownloadError, ContentTooShortError)) for cause in chain):
        return "download_failed"
    if any(isinstance(cause, (TransportError, RequestError, UnavailableVideoError, OSError)) for cause in chain):
        return "source_error"
    # What the extractor did not foresee: the site has changed, or answered with something else for once.
    if any(isinstance(cause, YoutubeDLError) for cause in chain):
        return "source_error"
    return "internal"


def _message(code: str, text: str) -> str | None:
    """What yt-dlp said, where it tells more than the code; without its advice to report or to log in."""
    if code not in ("source_error", "download_failed", "internal", "geo_blocked", "not_yet_live"):
        return None
    first = re.sub(r"\x1b\[[0-9;]*m", "", text).strip().partition("\n")[0]
    # Its advice to report, its Python objects, and the address of the proxy, which holds a secret, are not for callers.
    first = re.split(r"; please report this issue|\(caused by|You might want to use|: \(['\"]|socks5h?://", first)[0]
    first = first.removeprefix("ERROR: ").strip()
    return f"The site failed: {first[:300]}" if first and code != "internal" else (first[:300] or None)
