"""What takes seconds once is done before the first job: yt-dlp's child, the speech model, the text libraries."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from coop.costs import read_prices
from coop.errors import JobError
from coop.logs import get_logger
from coop.settings import Settings, SettingsError
from workers.engines import ytdlp
from workers.engines.analyzer import offline, offline_ideas
from workers.engines.analyzer.subject import Subject
from workers.engines.deadline import Deadline
from workers.engines.transcriber import local, speech
from workers.pipeline import StageSpec
from workers.stages import analyze, metadata, transcribe

WAIT_SECONDS = 20.0
"""A worker takes jobs after that in any case: a model that still comes over the line is waited for by its first job."""
# A big model, over a slow line. Jobs that come before it wait for it by their own deadlines.
_MODEL_SECONDS = 3600.0

log = get_logger(__name__)


def warm_up(stages: Iterable[StageSpec], settings: Settings, wait_seconds: float = WAIT_SECONDS) -> None:
    """Make ready what these stages' functions need, side by side, and wait for it, within bounds.

    What fails is only logged: a job that needs it fails with a code of its own, and may find it repaired. But a setting
    that every job would fail of is raised as SettingsError.
    """
    read_prices(settings.prices_file)  # else it is first asked for after a call that has cost money
    parts = [_PARTS[spec.run] for spec in stages if spec.run in _PARTS]
    wrong: list[SettingsError] = []
    threads = [
        threading.Thread(target=_do, args=(part, settings, wrong), name="warm-up", daemon=True) for part in parts
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + wait_seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    if wrong:
        raise wrong[0]


def _do(part: Callable[[Settings], None], settings: Settings, wrong: list[SettingsError]) -> None:
    began = time.monotonic()
    try:
        part(settings)
    except SettingsError as error:
        wrong.append(error)
    except JobError as error:
        log.warning("not ready", part=part.__name__, error=str(error))
    else:
        log.info("ready", part=part.__name__, seconds=round(time.monotonic() - began, 2))


def source(settings: Settings) -> None:
    ytdlp.check_sites(settings, Deadline(60))


def transcription(settings: Settings) -> None:
    speech.speech_spans(speech.samples_of(bytes(speech.BYTES_PER_SECOND)))
    if settings.transcription_engine == "local":
        local.load_model(settings, Deadline(_MODEL_SECONDS))


def analysis(settings: Settings) -> None:
    if settings.text_engine == "offline":
        subject = Subject(title="Ready", transcript="Is it ready? The worker is ready for its first video.")
        offline_ideas.suggest(subject, offline.judge(subject).niche)


_PARTS: Mapping[Callable[..., object], Callable[[Settings], None]] = {
    metadata.run: source,
    transcribe.run: transcription,
    analyze.run: analysis,
}
