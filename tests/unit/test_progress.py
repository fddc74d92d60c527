"""A job's progress, at a terminal and elsewhere."""

import io
from typing import Any

from coop.progress import follow


def _job(stage: str, status: str, position: int | None = None, **more: Any) -> dict[str, Any]:
    record = {"name": stage, "status": status, "attempts": 1, "startedAt": None, "machine": None, **more}
    return {"stage": stage, "queuePosition": position, "stages": [record]}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_each_change_is_a_line_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    changes = [
        _job("download", "waiting", 2),
        _job("download", "running", machine="home-1"),
        _job("download", "running", machine="home-1"),
        _job("download", "retrying", attempts=2),
        _job("download", "succeeded"),
    ]

    follow(changes, stream)

    assert stream.getvalue().splitlines() == [
        "  download  running  on home-1",
        "  download  retrying  again soon, 2 attempts so far",
        "  download  succeeded",
    ]


def test_a_terminal_gets_a_bar_that_ends_full() -> None:
    stream = _Terminal()

    follow([_job("download", "running"), _job("download", "succeeded")], stream)

    last = stream.getvalue().rpartition("download")[2]
    assert "done" in last
    assert "━" * 32 in last


def test_the_last_document_is_given_back() -> None:
    assert follow(iter([_job("a", "running"), _job("b", "failed")]), io.StringIO()) == _job("b", "failed")
    assert follow([], io.StringIO()) is None
