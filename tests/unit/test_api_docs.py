"""`docs/api.md` names what the code knows."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import pytest
from pydantic import BaseModel

from coop.documents import Accepted, AttemptDocument, DeliveryDocument, JobDocument, StageDocument
from coop.errors import JOB_ERRORS, PROBLEMS
from coop.jobs import DeliveryStatus, JobStatus, Stage, StageStatus
from coop.results import Emotion, EntryStyle, Pace, Structure, Tone

DOCS = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("field", "words"),
    [("entryStyle", EntryStyle), ("structure", Structure), ("pace", Pace), ("emotion", Emotion), ("tone", Tone)],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_the_closed_lists_are_those_of_the_code(field: str, words: type[EntryStyle]) -> None:
    row = next(line for line in DOCS.splitlines() if line.startswith(f"| `{field}`"))

    assert row.split("`")[3::2] == [word.value for word in words]


@pytest.mark.parametrize(
    "document",
    [Accepted, JobDocument, StageDocument, DeliveryDocument, AttemptDocument],
    ids=lambda each: each.__name__,
)
def test_every_field_of_a_document_is_named(document: type[BaseModel]) -> None:
    missing = {field.alias for field in document.model_fields.values()} - set(re.findall(r"[`\"](\w+)[`\"]", DOCS))

    assert missing == set()


@pytest.mark.parametrize("words", [JobStatus, Stage, StageStatus, DeliveryStatus], ids=lambda each: each.__name__)
def test_every_status_is_named(words: type[StrEnum]) -> None:
    table = DOCS[DOCS.index("## The job\n") : DOCS.index("## The result\n")]

    assert [word for word in words if f"`{word}`" not in table] == []


def test_every_refusal_is_explained() -> None:
    for code, (status, title) in PROBLEMS.items():
        assert f"| {status} | `{code}` | {title} |" in DOCS


def test_every_error_of_a_job_is_explained_with_who_can_act() -> None:
    for code, meaning in JOB_ERRORS.items():
        row = next(line for line in DOCS.splitlines() if line.startswith(f"| `{code}` | {meaning.message} |"))
        assert row.endswith(f"| {meaning.actor} |")
