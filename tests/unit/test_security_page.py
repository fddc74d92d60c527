"""docs/security.md names tests and files that exist, and says of each test file under tests/security what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
SOURCES = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "security").rglob("*.py"))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:coop|workers|tests|deploy)/[\w./]+\.\w+)`", PAGE))))
def test_a_file_that_is_named_exists(name: str) -> None:
    assert (ROOT / name).is_file()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", PAGE))))
def test_a_test_that_is_named_exists(name: str) -> None:
    assert f"def {name}(" in SOURCES


def test_every_file_of_attacks_is_named() -> None:
    files = {path.name for path in (ROOT / "tests" / "security").rglob("test_*.py")}

    assert {name for name in files if name not in PAGE} == set()
