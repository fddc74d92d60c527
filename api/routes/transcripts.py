"""`GET /api/jobs/{requestId}/transcript.{txt,srt,vtt}`, as soon as it is there."""

from __future__ import annotations

from flask import Blueprint, Response

from api.access import own_job, require_acceptable
from api.services import services
from api.subtitles import as_srt, as_txt, as_vtt
from coop.errors import Problem

_FORMS = {
    "txt": (as_txt, "text/plain"),
    "srt": (as_srt, "application/x-subrip"),
    "vtt": (as_vtt, "text/vtt"),
}

routes = Blueprint("transcripts", __name__)


@routes.get("/api/jobs/<request_id>/transcript.<any(txt, srt, vtt):form>")
def transcript(request_id: str, form: str) -> Response:
    """A video without speech has an empty transcript; one that is not transcribed yet has none: 404."""
    write, media_type = _FORMS[form]
    require_acceptable(media_type)
    found = services().store.found(own_job(request_id).id).transcribe
    if found is None:
        raise Problem("not_found", "There is no transcript of this job, or not yet.")
    return Response(write(found), content_type=f"{media_type}; charset=utf-8")
