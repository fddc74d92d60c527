"""docs/engines.md names every value of the closed lists."""

from pathlib import Path

import pytest

from coop.results import Emotion, EntryStyle, Pace, Structure, Tone

PAGE = (Path(__file__).parents[2] / "docs" / "engines.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("`entryStyle`", EntryStyle),
        ("`structure`", Structure),
        ("`emotion`", Emotion),
        ("`pace`", Pace),
        ("`tone`", Tone),
    ],
)
def test_the_page_lists_every_value(field, values):
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {field}")]

    assert [value.value for value in values if f"`{value}`" not in row] == []
