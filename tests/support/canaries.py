"""No output of the suite may hold a key or a secret: every one that a test makes is a canary.

What a test itself prints or logs is searched when it ends; what gateways, workers and `coop up` wrote, at the end of
the session. Real keys have a form that nothing else has, so nobody has to say which were made.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

import pytest

# `coop_` and 32 random bytes; a signing secret; a signature.
CANARY = re.compile(r"(coop_[\w-]{43}(?![\w-])|whsec_[A-Za-z0-9+/]{43}=|v1,[A-Za-z0-9+/]{43}=)")


def canaries_in(text: str) -> list[str]:
    """The places that hold one, with what stands before; the secret itself is cut short."""
    return [text[max(0, found.start() - 200) : found.start() + 12] for found in CANARY.finditer(text)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "teardown" and report.passed and (found := canaries_in(_told_by(report))):
        report.outcome = "failed"
        report.longrepr = f"its output holds a secret: …{found[0]}"
    return report


def _told_by(report: pytest.TestReport) -> str:
    return "\n".join(text for name, text in report.sections if name.startswith("Captured"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the session when a log that a process left holds a secret."""
    factory: pytest.TempPathFactory | None = getattr(session.config, "_tmp_path_factory", None)
    if factory is None or factory._basetemp is None:
        return
    for log in factory._basetemp.rglob("*.log"):
        if found := canaries_in(_text_of(log)):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            reporter = session.config.pluginmanager.get_plugin("terminalreporter")
            if reporter:
                reporter.write_line(f"\n{log} holds a secret: …{found[0]}", red=True)


def _text_of(log: Path) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
