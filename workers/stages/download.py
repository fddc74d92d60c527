"""The stage download: the smallest file with the sound, the sound taken out of it, and the uploader's captions."""

from __future__ import annotations

from typing import Any

from coop.errors import Cancelled, JobError
from coop.logs import get_logger
from coop.results import Audio, Captions
from workers.engines import ffmpeg, ytdlp
from workers.engines.captions import choose_language, parse_captions
from workers.engines.ffmpeg import ExtractedAudio
from workers.stages.extraction import load_extraction
from workers.stages.work import Work

Info = dict[str, Any]

log = get_logger(__name__)

ARTIFACT = "audio"

# Each says that a format, not the video, is at fault, so the next one is worth a try.
_NEXT_FORMAT = frozenset({"download_failed", "no_audio", "too_large"})


def run(work: Work) -> Audio:
    """Download the video of `work.job` and leave its sound as the artifact `audio`."""
    info, extracted = _fetch(work)
    content = extracted.path.read_bytes()
    work.artifacts.save(ARTIFACT, content)
    return Audio(
        file_name=extracted.path.name,
        codec=extracted.codec,
        size_bytes=len(content),
        duration_seconds=round(extracted.duration_seconds, 3),
        copied=extracted.copied,
        captions=_captions(work, info),
    )


def _fetch(work: Work) -> tuple[Info, ExtractedAudio]:
    """The sound, by what the stage metadata learnt as long as that holds, else by asking the site again."""
    known = load_extraction(work)
    if known is not None:
        try:
            return known, _first_that_works(work, known, "known")
        except JobError as error:
            if error.code != "download_failed":
                raise
            log.info("what the stage metadata learnt no longer holds", reason=error.message)
    info = ytdlp.extract(work.job.video_url, work.settings, work.deadline, work.job.options.language)
    return info, _first_that_works(work, info, "fresh")


def _first_that_works(work: Work, info: Info, name: str) -> ExtractedAudio:
    """The sound of the first format that gives one. Raises the JobError of the last when none does."""
    failure = JobError("download_failed")
    for number, chosen in enumerate(info["formats"]):
        folder = work.workspace / f"{name}-{number}"
        folder.mkdir()
        try:
            media = ytdlp.download(info, chosen, folder, work.settings, work.deadline)
            return ffmpeg.extract_audio(media, folder, work.settings, work.deadline)
        except JobError as error:
            if error.code not in _NEXT_FORMAT:
                raise
            log.info("a format could not be used", format=chosen.get("format_id"), code=error.code)
            failure = error
    raise failure


def _captions(work: Work, info: Info) -> Captions | None:
    """The uploader's captions in the language asked for or the video's; None when there are none to be had."""
    options = work.job.options
    entries = info.get("subtitles") or {}
    if options.captions == "never" or not entries:
        return None
    language = choose_language(entries, options.language, info.get("language"))
    if language is None:
        return None
    entry = entries[language]
    try:
        text = ytdlp.captions(entry, work.workspace, work.settings, work.deadline)
        segments = parse_captions(text, entry["ext"])
    except Cancelled:
        raise
    except (JobError, ValueError) as error:
        # The sound is there, so the transcriber can do without them.
        log.warning("the captions could not be had", language=language, reason=str(error))
        return None
    return Captions(language=language, segments=segments) if segments else None
