"""What is shipped and from where: the audit does not lie, the linter looks, the containers may little."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
Ask = Callable[..., tuple[int, str]]
NOTHING = (0, "No known vulnerabilities found")


@pytest.fixture
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "scripts" / "audit.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def source(of_canary: tuple[int, str], of_others: tuple[int, str]) -> Ask:
    return lambda *arguments: of_canary if "--no-deps" in arguments else of_others


@pytest.mark.parametrize("silence", [NOTHING, (1, "ConnectionError"), (2, "no answer within 600 s")])
def test_a_source_that_knows_nothing_is_no_pass(
    silence: tuple[int, str], audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(audit, "ask", source(silence, NOTHING))

    assert audit.main() == 2
    assert capsys.readouterr().out.startswith("audit: NOT RUN")


@pytest.mark.parametrize(("found", "code"), [(NOTHING, 0), ((1, "yt-dlp 2026.1.1 GHSA-xxxx"), 1), ((1, "broken"), 1)])
def test_a_source_that_answers_is_believed(
    found: tuple[int, str], code: int, audit: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "ask", source((1, "requests 2.19.0 PYSEC-2018-28 2.20.0"), found))

    assert audit.main() == code


def test_the_linter_looks_for_insecure_code_and_every_exception_says_why() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    exceptions = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("coop", "workers", "api", "deploy", "scripts")
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"# noqa: S\d+", line)
    ]

    assert "S" in lint["select"]
    assert [line for line in exceptions if not re.search(r"# noqa: S\d+(, ?\w+)*\s+# \w", line)] == []
    assert {rule for rule in lint["ignore"] if rule.startswith("S")} == {"S404", "S603", "S607"}


def test_no_shell_pickle_or_eval_is_in_the_source() -> None:
    forbidden = re.compile(r"shell=True|os\.system\(|\bpickle\b\.|\byaml\.load\(|(?<![\w.])(eval|exec)\(")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("coop", "workers", "api")
        for path in (ROOT / folder).rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if forbidden.search(line)
    ]

    assert found == []


@pytest.mark.parametrize("name", ["gateway", "worker", "flower"])
def test_a_container_can_do_little(name: str) -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["pids_limit"] <= 4096
    assert "privileged" not in service
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", ()))
