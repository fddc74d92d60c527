"""What yt-dlp raises and passes on, as codes of the contract. The exceptions are yt-dlp's own."""

from __future__ import annotations

import io

import pytest
from yt_dlp.networking.common import Response
from yt_dlp.networking.exceptions import HTTPError, NoSupportingHandlers, ProxyError, RequestError, TransportError
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError, UnsupportedError, UserNotLive

from coop.errors import JobError
from workers.engines.ytdlp_errors import job_error


def raised(inner: Exception | None, message: str | None = None) -> DownloadError:
    """yt-dlp's way to hand on what went wrong."""
    if inner is None:
        return DownloadError(f"ERROR: {message}", (None, None, None))
    return DownloadError(f"ERROR: {message or inner}", (type(inner), inner, None))


def http_error(status: int, *, loop: bool = False, **headers: str) -> HTTPError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTPError(Response(io.BytesIO(), "https://example.org/", named, status), redirect_loop=loop)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Sign in to confirm you’re not a bot. Use --cookies-from-browser", "bot_check"),
        ("YouTube is requiring a captcha challenge before playback", "bot_check"),
        ("All player responses are invalid. Your IP is likely being blocked by Youtube", "bot_check"),
        ("Your IP address is blocked from accessing this post", "bot_check"),
        (
            "This content isn't available, try again later. … rate-limited by YouTube for up to an hour",
            "source_rate_limited",
        ),
        ("You have exceeded the rate-limit for accessing posts anonymously", "source_rate_limited"),
        ("Sign in to confirm your age. This video may be inappropriate for some users.", "age_restricted"),
        ("NSFW tweet requires authentication. Use --cookies", "age_restricted"),
        ("This post may not be comfortable for some audiences. Log in for access", "age_restricted"),
        ("This video is available to this channel's members on level: X. Join this channel", "members_only"),
        ("Private video. Sign in if you've been granted access to this video", "video_private"),
        ("You do not have permission to view this post. Log into an account that has access", "video_private"),
        ("You are not authorized to view this protected tweet", "video_private"),
        ("The uploader has not made this video available in your country", "geo_blocked"),
        ("Premieres in 14 hours", "not_yet_live"),
        ("This live event will begin in 5 days.", "not_yet_live"),
        ("This video is DRM protected", "drm_protected"),
        ("This video is only available for registered users. Use --cookies", "login_required"),
        ("TikTok is requiring login for access to this content", "login_required"),
        ("Instagram sent an empty media response", "login_required"),
        ("Incomplete YouTube ID abc. URL https://youtu.be/abc looks truncated.", "unsupported_url"),
        ("There is no video in this post", "unsupported_url"),
        ("No video could be found in this tweet", "unsupported_url"),
        ("Video unavailable. This video has been removed by the uploader", "video_unavailable"),
        ("Video not available, status code 10204", "video_unavailable"),
        ("Requested tweet is unavailable. Suspended", "video_unavailable"),
        ("Unable to extract universal data for rehydration", "source_error"),
    ],
)
def test_what_sites_say_is_understood(text: str, code: str) -> None:
    assert job_error(raised(ExtractorError(text, expected=True))).code == code


def test_a_reason_that_came_as_a_warning_is_understood() -> None:
    error = raised(ExtractorError("Requested format"), "Requested format")

    assert job_error(error, "[youtube] Private video").code == "video_private"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "login_required"),
        (403, "source_error"),
        (404, "video_unavailable"),
        (410, "video_unavailable"),
        (429, "source_rate_limited"),
        (451, "geo_blocked"),
        (500, "source_error"),
        (503, "source_error"),
    ],
)
def test_a_status_of_the_page_has_its_code(status: int, code: str) -> None:
    error = ExtractorError("Unable to download webpage", cause=http_error(status))

    assert job_error(raised(error)).code == code


@pytest.mark.parametrize(
    ("status", "code"), [(403, "download_failed"), (404, "download_failed"), (429, "source_rate_limited")]
)
def test_a_status_of_the_media_has_its_code(status: int, code: str) -> None:
    assert job_error(raised(http_error(status)), downloading=True).code == code


@pytest.mark.parametrize(
    ("value", "expected"), [("120", 120), ("0", 0), ("999999999", 86_400), ("nan", None), ("soon", None)]
)
def test_retry_after_is_read_and_bounded(value: str, expected: float | None) -> None:
    assert job_error(raised(http_error(429, Retry_After=value))).retry_after == expected


def test_retry_after_may_be_a_date() -> None:
    error = raised(http_error(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"))

    assert job_error(error).retry_after == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (GeoRestrictedError("Not here", countries=["KR"]), "geo_blocked"),
        (UnsupportedError("https://example.org/"), "unsupported_url"),
        (NoSupportingHandlers([], []), "unsupported_url"),
        (UserNotLive(), "video_unavailable"),
        (TransportError("Failed to resolve 'example.org'"), "source_error"),
        (ProxyError("[Errno 2] connection not allowed by ruleset"), "url_not_allowed"),
        (http_error(302, loop=True), "source_error"),
    ],
)
def test_yt_dlps_classes_have_their_codes(error: Exception, code: str) -> None:
    assert job_error(raised(error)).code == code


def test_a_local_file_is_refused() -> None:
    assert job_error(RequestError("file:// URLs are disabled by default in yt-dlp")).code == "url_not_allowed"


def test_a_download_that_gives_up_failed() -> None:
    error = raised(None, "[download] Got error: 5 bytes read, 7 more expected. Giving up after 3 retries")

    assert job_error(error, downloading=True).code == "download_failed"


def test_an_error_of_our_own_comes_through_whole() -> None:
    ours = JobError("too_large", "Enough.")

    assert job_error(raised(ExtractorError("An extractor error has occurred.", cause=ours))) is ours


def test_messages_tell_no_advice_and_no_secret() -> None:
    error = raised(ExtractorError("Unable to connect to proxy socks5h://request-1:secret@127.0.0.1:1/"))
    message = job_error(error).message

    assert message.endswith("Unable to connect to proxy")
    assert "report" not in message
