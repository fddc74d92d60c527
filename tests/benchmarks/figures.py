"""What a benchmark finds: figures, each with the target it is held against, if it has one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Figure:
    """One measured number. `at_most` and `at_least` are its target; without either it is there to explain others."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def verdict(self) -> Literal["met", "missed", ""]:
        if self.at_most is None and self.at_least is None:
            return ""
        below = self.at_most is None or self.value <= self.at_most
        above = self.at_least is None or self.value >= self.at_least
        return "met" if below and above else "missed"

    @property
    def target(self) -> str:
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return "" if self.at_least is None else f"≥ {self.at_least:g}"

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all are not above; nan of none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def median(values: Sequence[float]) -> float:
    return quantile(values, 0.5)


def table(rows: Iterable[tuple[str, Figure]]) -> str:
    """Markdown: benchmark, figure, value, target, verdict."""
    lines = ["| benchmark | figure | measured | target | |", "|---|---|---:|---|---|"]
    for benchmark, figure in rows:
        value = f"{figure.value:,.4g}" if abs(figure.value) < 1000 else f"{figure.value:,.0f}"
        verdict = "**missed**" if figure.verdict == "missed" else figure.verdict
        lines.append(f"| {benchmark} | {figure.name} | {value} {figure.unit} | {figure.target} | {verdict} |")
    return "\n".join(lines)
