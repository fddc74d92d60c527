"""The same video again: what its stages found the last time, if all that they depend on is the same."""

from __future__ import annotations

import hashlib
import json
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis

from coop.job_store import JobStore
from coop.jobs import Job
from coop.logs import get_logger
from coop.results import Found
from coop.settings import Settings
from workers.engines import analyzer, transcriber
from workers.engines.analyzer.openai import PROMPT_VERSION

log = get_logger(__name__)

# Says who passed the address on, not what it leads to.
_TRACKING = ("utm_", "fbclid", "gclid", "igsh")


def key_of(job: Job, settings: Settings) -> str:
    """Equal for jobs of a client that would find the same. Another client's job asks the site for itself: it may not
    be let see the video."""
    depends_on = {
        "client": job.client,
        "url": normalised(job.video_url),
        "options": job.options.model_dump(),
        "transcriber": transcriber.engine_name(settings),
        "analyzer": analyzer.engine_name(settings),
        "servers": [settings.openai_base_url, settings.transcribe_base_url, settings.text_base_url],
        "prompts": PROMPT_VERSION,
        "effort": settings.text_reasoning_effort,
        "arithmetic": settings.whisper_compute_type,
        "limits": [list(settings.sites), settings.max_duration_seconds, settings.max_media_bytes],
    }
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()


def normalised(url: str) -> str:
    """The address without what does not change where it leads."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, True) if not name.startswith(_TRACKING)]
    return urlunsplit((parts.scheme.lower(), parts.netloc.lower(), parts.path, urlencode(query), parts.fragment))


def recall(store: JobStore, job: Job, settings: Settings) -> Found | None:
    """What is known of the job's video; None for nothing, and for a job that is driven again: it wants it anew."""
    if settings.cache_days == 0 or job.run > 1:
        return None
    try:
        return store.known(key_of(job, settings))
    except redis.RedisError as error:
        log.warning("what is known already could not be asked for", error=str(error))
        return None


def remember(store: JobStore, job: Job, found: Found, settings: Settings) -> None:
    """Keep what a job has found for the next one. When Redis is full, or away, it is found out again."""
    if settings.cache_days == 0:
        return
    try:
        store.remember(key_of(job, settings), found)
    except redis.RedisError as error:
        log.warning("a result could not be kept for the next time", error=str(error))
