"""Stage ideas: content ideas, as many as asked for, all different from each other and from the video."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from coop.costs import charged_on_failure
from coop.errors import JobError
from coop.results import Idea, IdeasReport, Usage
from workers.engines import analyzer
from workers.engines.analyzer.subject import Subject
from workers.stages.work import Work

# A model that repeats itself is asked again for what is missing, but not for ever: every time costs money.
MAX_ASKS = 3
# difflib's ratio, 0 to 1: from here on two titles are the same title in other words.
_ALIKE = 0.85


def run(work: Work) -> IdeasReport:
    """Exactly `options.ideas` ideas. Raises JobError as the engine does, `analysis_failed` when it has too few."""
    if work.found.analyze is None:
        raise JobError("internal", "The stages before ideas left nothing.", passing=False)
    subject = Subject.of(work.found)
    kept: list[Idea] = []
    spent: list[Usage] = []
    for _ in range(MAX_ASKS):
        taken = [title for title in (subject.title, *(idea.title for idea in kept)) if title]
        missing = work.job.options.ideas - len(kept)
        with charged_on_failure(spent):
            found, usage = analyzer.suggest(
                subject, work.found.analyze.analysis, missing, taken, work.settings, work.deadline
            )
        spent += usage
        kept += _new_ones(found, taken)[:missing]
        if len(kept) == work.job.options.ideas:
            return IdeasReport(ideas=tuple(kept), engine=analyzer.engine_name(work.settings), usage=tuple(spent))
    raise JobError("analysis_failed", "The model keeps repeating its ideas.", passing=True, usage=tuple(spent))


def _new_ones(ideas: Sequence[Idea], taken: Sequence[str]) -> list[Idea]:
    """The ideas whose titles are neither like a taken one nor like one before them."""
    new: list[Idea] = []
    for idea in ideas:
        if not any(are_alike(idea.title, title) for title in (*taken, *(each.title for each in new))):
            new.append(idea)
    return new


def are_alike(one: str, other: str) -> bool:
    """Whether two titles say the same, whatever their case, punctuation and small changes."""
    first, second = _normalise(one), _normalise(other)
    if sorted(first.split()) == sorted(second.split()):
        return True
    return difflib.SequenceMatcher(None, first, second, autojunk=False).ratio() >= _ALIKE


def _normalise(title: str) -> str:
    return " ".join("".join(char if char.isalnum() else " " for char in title.casefold()).split())
