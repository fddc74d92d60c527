"""`docs/api.md` names what the code knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from coop.errors import JOB_ERRORS, PROBLEMS
from coop.results import Emotion, EntryStyle, Pace, Structure

DOCS = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("field", "words"),
    [("entryStyle", EntryStyle), ("structure", Structure), ("pace", Pace), ("emotion", Emotion)],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_the_closed_lists_are_those_of_the_code(field: str, words: type[EntryStyle]) -> None:
    row = next(line for line in DOCS.splitlines() if line.startswith(f"| `{field}` |"))

    assert row.split("`")[3::2] == [word.value for word in words]


def test_every_refusal_is_explained() -> None:
    for code, (status, title) in PROBLEMS.items():
        assert f"| {status} | `{code}` | {title} |" in DOCS


def test_every_error_of_a_job_is_explained_with_who_can_act() -> None:
    for code, meaning in JOB_ERRORS.items():
        row = next(line for line in DOCS.splitlines() if line.startswith(f"| `{code}` | {meaning.message} |"))
        assert row.endswith(f"| {meaning.actor} |")
