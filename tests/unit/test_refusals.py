"""Which videos are refused by what the site says of them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from coop.errors import JobError
from workers.engines.refusals import refuse_early, without_sound

SOUND = {"url": "https://cdn.example/s", "protocol": "https", "vcodec": "none", "acodec": "opus"}


def refusal_of(**info: Any) -> JobError | None:
    try:
        refuse_early(info, max_seconds=600, max_bytes=1_000)
    except JobError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("info", "code"),
    [
        ({"live_status": "is_live"}, "live_stream"),
        ({"is_live": True}, "live_stream"),
        ({"live_status": "post_live"}, "live_stream"),
        ({"live_status": "is_upcoming"}, "not_yet_live"),
        ({"duration": 600.5}, "too_long"),
        ({"formats": [SOUND | {"filesize": 1_001}]}, "too_large"),
    ],
)
def test_what_cannot_be_done_is_refused(info: dict[str, Any], code: str) -> None:
    error = refusal_of(**info)

    assert error is not None
    assert error.code == code


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"live_status": "was_live", "duration": 600},
        {"duration": None},
        {"formats": [SOUND | {"filesize": 1_001}, SOUND | {"filesize": 999}]},
        {"formats": [SOUND | {"filesize": 1_001}, SOUND]},
    ],
)
def test_what_may_be_done_is_not_refused(info: dict[str, Any]) -> None:
    assert refusal_of(**info) is None


def test_a_premiere_is_worth_a_try_when_it_starts() -> None:
    error = refusal_of(live_status="is_upcoming", release_timestamp=time.time() + 3600)

    assert error is not None
    assert error.retry_after == pytest.approx(3600, abs=5)


@pytest.mark.parametrize(
    ("info", "warnings", "code"),
    [
        ({"formats": [SOUND | {"vcodec": "h264", "acodec": "none"}]}, "", "no_audio"),
        ({"_has_drm": True}, "", "drm_protected"),
        ({"formats": [SOUND | {"has_drm": True}]}, "", "drm_protected"),
        ({"availability": "private"}, "", "video_private"),
        ({"availability": "subscriber_only"}, "", "members_only"),
        ({"availability": "needs_auth", "age_limit": 18}, "", "age_restricted"),
        ({"availability": "needs_auth"}, "", "login_required"),
        ({"availability": "needs_auth"}, "Sign in to confirm you’re not a bot", "bot_check"),
        ({}, "", "source_error"),
    ],
)
def test_a_video_without_formats_has_a_reason(info: dict[str, Any], warnings: str, code: str) -> None:
    assert without_sound(info, warnings).code == code
