"""Who judges a video and has ideas: `openai` (any server that speaks its API) or `offline` (rules)."""

from __future__ import annotations

from collections.abc import Sequence

from coop.results import Analysis, Idea, Usage
from coop.settings import Settings
from workers.engines.analyzer import offline, offline_ideas, openai
from workers.engines.analyzer.judgement import Judgement
from workers.engines.analyzer.subject import Subject
from workers.engines.deadline import Deadline


def engine_name(settings: Settings) -> str:
    """`openai:MODEL` or `offline`."""
    return f"openai:{settings.text_model}" if settings.text_engine == "openai" else "offline"


def judge(subject: Subject, settings: Settings, deadline: Deadline) -> tuple[Judgement, tuple[Usage, ...]]:
    """What the video is like, and what it took to say so. Raises JobError as the openai client does."""
    if settings.text_engine == "openai":
        return openai.judge(subject, settings, deadline)
    return offline.judge(subject), ()


def suggest(
    subject: Subject, analysis: Analysis, count: int, taken: Sequence[str], settings: Settings, deadline: Deadline
) -> tuple[list[Idea], tuple[Usage, ...]]:
    """About `count` ideas whose titles should differ from the `taken` ones; the caller checks that they do.

    Raises JobError as the openai client does.
    """
    if settings.text_engine == "openai":
        return openai.suggest(subject, analysis, count, taken, settings, deadline)
    return offline_ideas.suggest(subject, analysis.niche), ()
