"""What takes seconds once, made ready before a job waits for it: yt-dlp, speech models, clients, text libraries.

When the worker starts: what its first stage needs, and a local model, which may take minutes. What later stages need is
loaded beside the first job's earlier ones, which mostly wait for a site; until then it would hold 100 MB for nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from coop.costs import read_prices
from coop.errors import JobError
from coop.logs import get_logger
from coop.settings import Settings, SettingsError
from workers.engines import openai_client, ytdlp
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
_LOAD_SECONDS = 60.0

log = get_logger(__name__)

Part = Callable[[Settings], None]


def warm_up(stages: Sequence[StageSpec], settings: Settings, wait_seconds: float = WAIT_SECONDS) -> None:
    """Make ready what cannot wait for a job of these stages, side by side, and wait for it, within bounds.

    What fails is only logged: a job that needs it fails with a code of its own, and may find it repaired. But a setting
    that every job would fail of is raised as SettingsError.
    """
    read_prices(settings.prices_file)  # else it is first asked for after a call that has cost money
    wrong: list[SettingsError] = []
    threads = [
        threading.Thread(target=_do, args=(part, settings, wrong), name="warm-up", daemon=True)
        for part in _parts(stages, settings, for_later=False)
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + wait_seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    if wrong:
        raise wrong[0]


def with_first_job(stages: Sequence[StageSpec], settings: Settings) -> Callable[..., None]:
    """What to call whenever a stage begins: the first call has the rest made ready in a thread, the others do nothing.

    One part after the other, in the order in which the job comes to them.
    """
    rest = list(_parts(stages, settings, for_later=True))
    is_first = threading.Lock()

    def begin(**_: object) -> None:
        if rest and is_first.acquire(blocking=False):
            threading.Thread(target=_do_all, args=(rest, settings), name="warm-up", daemon=True).start()

    return begin


def _parts(stages: Sequence[StageSpec], settings: Settings, *, for_later: bool) -> Iterable[Part]:
    for number, spec in enumerate(stages):
        part = _PARTS.get(spec.run)
        if part and for_later is (number > 0 and _can_wait(part, settings)):
            yield part


def _can_wait(part: Part, settings: Settings) -> bool:
    return not (part is transcription and settings.transcription_engine == "local")


def _do_all(parts: Iterable[Part], settings: Settings) -> None:
    for part in parts:
        _do(part, settings, [])


def _do(part: Part, settings: Settings, wrong: list[SettingsError]) -> None:
    began = time.monotonic()
    try:
        part(settings)
    except (SettingsError, JobError) as error:
        log.warning("not ready", part=part.__name__, error=str(error))
        if isinstance(error, SettingsError):
            wrong.append(error)
    else:
        log.info("ready", part=part.__name__, seconds=round(time.monotonic() - began, 2))


def source(settings: Settings) -> None:
    ytdlp.check_sites(settings, Deadline(_LOAD_SECONDS))


def transcription(settings: Settings) -> None:
    speech.speech_spans(speech.samples_of(bytes(speech.BYTES_PER_SECOND)))
    if settings.transcription_engine == "local":
        local.load_model(settings, Deadline(_MODEL_SECONDS))
    else:
        openai_client.prepare(openai_client.transcription_endpoint(settings), Deadline(_LOAD_SECONDS))


def analysis(settings: Settings) -> None:
    if settings.text_engine == "offline":
        subject = Subject(title="Ready", transcript="Is it ready? The worker is ready for its first video.")
        offline_ideas.suggest(subject, offline.judge(subject).niche)
    else:
        openai_client.prepare(openai_client.text_endpoint(settings), Deadline(_LOAD_SECONDS))


_PARTS: Mapping[Callable[..., object], Part] = {
    metadata.run: source,
    transcribe.run: transcription,
    analyze.run: analysis,
}
