"""The one table of error codes, and the exceptions that carry them.

Two families: a job ends in a `JobError` (section 4 of the contract, the `error` of a result document), a request
is refused with a `Problem` (section 3, an RFC 9457 document).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from coop.results import Usage

Actor = Literal["caller", "operator", "nobody"]


class JobErrorMeaning(NamedTuple):
    """`passing`: the pipeline tries the stage again by itself. `retryable`: a later try by somebody may succeed."""

    passing: bool
    retryable: bool
    actor: Actor
    message: str


JOB_ERRORS: dict[str, JobErrorMeaning] = {
    "unsupported_url": JobErrorMeaning(False, False, "caller", "No video can be taken from this address."),
    "video_unavailable": JobErrorMeaning(False, False, "caller", "The video does not exist or was removed."),
    "video_private": JobErrorMeaning(False, False, "caller", "The video is private."),
    "members_only": JobErrorMeaning(False, False, "caller", "The video is for paying members only."),
    "age_restricted": JobErrorMeaning(False, False, "operator", "The video is age-restricted and needs a login."),
    "geo_blocked": JobErrorMeaning(False, True, "operator", "The video is blocked where the worker stands."),
    "live_stream": JobErrorMeaning(False, True, "caller", "The video is a running live stream."),
    "not_yet_live": JobErrorMeaning(False, True, "caller", "The video has not started yet."),
    "drm_protected": JobErrorMeaning(False, False, "nobody", "The video is protected against copying."),
    "login_required": JobErrorMeaning(False, False, "operator", "The site shows the video to logged-in users only."),
    "playlist_not_supported": JobErrorMeaning(False, False, "caller", "The address is a list, not one video."),
    "too_long": JobErrorMeaning(False, False, "caller", "The video is longer than this service takes."),
    "too_large": JobErrorMeaning(False, False, "caller", "The media file is larger than this service takes."),
    "no_audio": JobErrorMeaning(False, False, "caller", "The video has no audio track."),
    "bot_check": JobErrorMeaning(True, True, "operator", "The site takes this machine for a robot."),
    "source_rate_limited": JobErrorMeaning(True, True, "operator", "The site limits this machine's requests."),
    "source_error": JobErrorMeaning(True, True, "nobody", "The video site failed or could not be reached."),
    "download_failed": JobErrorMeaning(True, True, "nobody", "The media could not be downloaded."),
    "media_invalid": JobErrorMeaning(False, False, "caller", "The file is not a readable video."),
    "transcription_failed": JobErrorMeaning(True, True, "operator", "The transcription failed."),
    "analysis_failed": JobErrorMeaning(True, True, "operator", "The analysis failed."),
    "engine_auth": JobErrorMeaning(False, True, "operator", "The engine does not accept its key."),
    "engine_quota": JobErrorMeaning(False, True, "operator", "The engine's quota is used up."),
    "budget_exceeded": JobErrorMeaning(False, True, "operator", "The budget is used up."),
    "url_not_allowed": JobErrorMeaning(False, False, "caller", "The address may not be reached from here."),
    "timed_out": JobErrorMeaning(True, True, "nobody", "The stage did not end within its deadline."),
    "cancelled": JobErrorMeaning(False, True, "caller", "The job was cancelled."),
    "internal": JobErrorMeaning(True, True, "operator", "Something went wrong that the service has no name for."),
}


class JobError(Exception):
    """A stage cannot go on. `code` is one of JOB_ERRORS, whose row fills what is not given.

    `passing` overrides whether the pipeline tries again by itself; `retry_after`: in how many seconds at the earliest;
    `usage`: what the failed attempt used and cost all the same.
    """

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        passing: bool | None = None,
        retry_after: float | None = None,
        usage: tuple[Usage, ...] = (),
    ) -> None:
        meaning = JOB_ERRORS[code]
        self.code = code
        self.message = message or meaning.message
        self.passing = meaning.passing if passing is None else passing
        self.retryable = meaning.retryable or self.passing
        self.actor: Actor = meaning.actor
        self.retry_after = retry_after
        self.usage = usage
        super().__init__(f"{code}: {self.message}")


class Cancelled(JobError):
    """The job was cancelled, or taken over by a newer run, while this stage ran. Handled apart: nothing is recorded."""

    def __init__(self) -> None:
        super().__init__("cancelled")


PROBLEMS: dict[str, tuple[int, str]] = {
    "malformed_json": (400, "The body is not valid JSON"),
    "missing_key": (401, "No API key was sent"),
    "invalid_key": (401, "The API key is not valid"),
    "missing_signature": (401, "The request is not signed"),
    "invalid_signature": (401, "The signature is not valid"),
    "stale_timestamp": (401, "The signature's timestamp is too far off"),
    "replayed": (401, "This signed request was sent before"),
    "ip_not_allowed": (403, "The client may not call from this address"),
    "callback_host_not_allowed": (403, "The client may not have results sent to this host"),
    "not_found": (404, "There is no such thing"),
    "method_not_allowed": (405, "This method is not for this address"),
    "not_acceptable": (406, "None of the accepted media types can be given"),
    "request_timeout": (408, "The body did not arrive in time"),
    "request_id_conflict": (409, "The requestId was used for another request"),
    "not_cancellable": (409, "The job has ended"),
    "not_retryable": (409, "The job cannot be driven again"),
    "body_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body must be application/json"),
    "invalid_request": (422, "The request does not fit the schema"),
    "url_not_allowed": (422, "The address may not be reached from here"),
    "rate_limited": (429, "Too many requests"),
    "queue_full": (429, "Too many jobs wait"),
    "internal": (500, "Something went wrong"),
    "unavailable": (503, "The service cannot take jobs at the moment"),
}


@dataclass
class Problem(Exception):
    """A request is refused. `errors`: one mapping per wrong field; `retry_after`: seconds."""

    code: str
    detail: str | None = None
    errors: list[dict[str, Any]] | None = None
    retry_after: int | None = None

    @property
    def status(self) -> int:
        return PROBLEMS[self.code][0]

    @property
    def title(self) -> str:
        return PROBLEMS[self.code][1]
