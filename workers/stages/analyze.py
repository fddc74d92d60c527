"""Stage analyze: what the video is like."""

from __future__ import annotations

from coop.errors import JobError
from coop.results import Analysis, AnalysisReport, Audio, Pace, Transcript
from workers.engines import analyzer
from workers.engines.analyzer.subject import Subject
from workers.stages.work import Work


def run(work: Work) -> AnalysisReport:
    """The engine's judgement beside what was measured: length and pace. Raises JobError as the engine does."""
    download, transcript = _findings(work)
    judgement, usage = analyzer.judge(Subject.of(work.found), work.settings, work.deadline)
    analysis = Analysis(
        hook=judgement.hook,
        entry_style=judgement.entry_style,
        niche=judgement.niche,
        structure=judgement.structure,
        length_seconds=whole_seconds(download.duration_seconds),
        pace=Pace.of(transcript.words_per_minute),
        emotion=judgement.emotion,
    )
    return AnalysisReport(analysis=analysis, engine=analyzer.engine_name(work.settings), usage=usage)


def whole_seconds(seconds: float) -> int:
    """Rounded half up, and at least 1: a video that is there has a length."""
    return max(1, int(seconds + 0.5))


def _findings(work: Work) -> tuple[Audio, Transcript]:
    download, transcript = work.found.download, work.found.transcribe
    if download is None or transcript is None:
        raise JobError("internal", "The stages before analyze left nothing.", passing=False)
    return download, transcript
