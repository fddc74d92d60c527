"""Which videos are refused by what the site says of them, before any download. Loaded in yt-dlp's child only."""

from __future__ import annotations

import time
from typing import Any

from coop.errors import JobError
from workers.engines.formats import usable_formats
from workers.engines.ytdlp_errors import code_of_text

Info = dict[str, Any]

_BY_AVAILABILITY = {"private": "video_private", "subscriber_only": "members_only", "premium_only": "members_only"}


def refuse_early(info: Info, max_seconds: float, max_bytes: int) -> None:
    """Raise the JobError for a video that is live, too long, or too large in every format."""
    status = info.get("live_status")
    if status == "is_upcoming":
        raise _not_yet_live(info)
    if info.get("is_live") or status in ("is_live", "post_live"):
        raise JobError("live_stream")
    duration = info.get("duration")
    if duration and duration > max_seconds:
        raise JobError("too_long", f"The video lasts {duration:.0f} s; {max_seconds:.0f} s are taken at most.")
    sizes = [entry.get("filesize") for entry in usable_formats(info)]
    if sizes and all(size and size > max_bytes for size in sizes):
        raise JobError("too_large")


def _not_yet_live(info: Info) -> JobError:
    starts = info.get("release_timestamp")
    wait = max(60.0, float(starts) - time.time()) if isinstance(starts, (int, float)) else None
    return JobError("not_yet_live", retry_after=wait)


def without_sound(info: Info, warnings: str) -> JobError:
    """Why a video has no format with sound. `warnings`: what yt-dlp said, for a site's reasons arrive there."""
    if usable_formats(info):
        return JobError("no_audio")
    if info.get("_has_drm") or any(entry.get("has_drm") for entry in info.get("formats") or ()):
        return JobError("drm_protected")
    availability = info.get("availability")
    code = code_of_text(warnings) or _BY_AVAILABILITY.get(availability or "")
    if code is None and availability == "needs_auth":
        code = "age_restricted" if (info.get("age_limit") or 0) >= 18 else "login_required"
    return JobError(code or "source_error")
