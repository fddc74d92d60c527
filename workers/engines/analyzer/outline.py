"""An idea's outline."""

from __future__ import annotations

from collections.abc import Iterable


def number_lines(steps: Iterable[str]) -> str:
    """The steps as the contract writes an outline: `1. …`, one to a line."""
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))
