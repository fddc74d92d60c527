"""A job's progress at a terminal: a bar per stage, or plain lines where stderr is no terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

_ENDED = {"succeeded": "[green]done[/]", "failed": "[red]failed[/]", "skipped": "[dim]skipped[/]"}


def follow(jobs: Iterable[dict[str, Any]], stream: TextIO) -> dict[str, Any] | None:
    """Show each job document as it comes; the last one, None when none came."""
    last = None
    console = Console(file=stream)
    if not console.is_terminal:
        lines = _Lines(stream)
        for last in jobs:
            lines.show(last)
        return last
    with Progress(
        TextColumn("{task.description:>10}"),
        BarColumn(bar_width=32),
        TimeElapsedColumn(),
        TextColumn("{task.fields[word]}"),
        console=console,
    ) as progress:
        bars = _Bars(progress)
        for last in jobs:
            bars.show(last)
    return last


class _Bars:
    """One bar per stage: empty while it waits, moving while it runs, full at its end."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, Any] = {}

    def show(self, job: dict[str, Any]) -> None:
        for stage in job["stages"]:
            name, status = stage["name"], stage["status"]
            if name not in self._bars:
                self._bars[name] = self._progress.add_task(name, total=1, start=False, word="")
            bar = self._bars[name]
            if stage["startedAt"]:
                self._progress.start_task(bar)
            if status in _ENDED:
                self._progress.update(bar, total=1, completed=1, word=_ENDED[status])
                self._progress.stop_task(bar)
            else:
                # A bar without a total moves to and fro: how far a running stage is, nobody knows.
                total = None if status == "running" else 1
                self._progress.update(bar, total=total, word=_word(job, stage))


class _Lines:
    """A line per change of a stage."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._said: dict[str, str] = {}

    def show(self, job: dict[str, Any]) -> None:
        for stage in job["stages"]:
            if stage["status"] not in ("waiting", self._said.get(stage["name"])):
                self._stream.write(f"{stage['name']:>10}  {stage['status']}  {_word(job, stage)}".rstrip() + "\n")
                self._stream.flush()
            self._said[stage["name"]] = stage["status"]


def _word(job: dict[str, Any], stage: dict[str, Any]) -> str:
    if stage["status"] == "running":
        return f"on {stage['machine']}" if stage["machine"] else ""
    if stage["status"] == "retrying":
        return f"again soon, {stage['attempts']} attempts so far"
    if stage["name"] == job["stage"] and job["queuePosition"] is not None:
        return f"{job['queuePosition']} before it"
    return ""
