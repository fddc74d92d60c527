"""The command `coop`: what it says, and what it does not load."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from coop.cli import COMMANDS, main

Coop = Callable[..., Result]


@pytest.fixture
def coop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Coop:
    """Run a command with an empty environment of its own."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **environ: str) -> Result:
        return CliRunner().invoke(
            main, arguments, env={"COOP_DATA_DIR": str(tmp_path), "COOP_REDIS_URL": "", **environ}
        )

    return run


def test_help_names_every_command_and_loads_none() -> None:
    script = "import sys; from coop.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"

    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert all(f"  {name} " in told for name in COMMANDS)
    assert not {"redis", "requests", "pydantic", "celery", "rich"} & set(told.splitlines()[-1].split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(coop: Coop, name: str) -> None:
    answer = coop(name, "--help")

    assert answer.exit_code == 0
    assert "Usage:" in answer.stdout


def test_a_mistyped_setting_is_one_line_and_exit_code_1(coop: Coop) -> None:
    answer = coop("status", COOP_REDIS_ULR="redis://127.0.0.1/0")

    assert answer.exit_code == 1
    assert answer.stderr == "Error: no such setting: COOP_REDIS_ULR; `coop settings` lists them all\n"
    assert answer.stdout == ""


@pytest.mark.parametrize(
    "command", [("client", "list"), ("status",), ("retry", "r"), ("cancel", "r")], ids=lambda command: command[0]
)
def test_without_a_redis_the_commands_say_what_to_set(coop: Coop, command: tuple[str, ...]) -> None:
    answer = coop(*command)

    assert answer.exit_code == 1
    assert "COOP_REDIS_URL is not set and no `coop up` runs" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_redis_that_cannot_be_reached_is_one_line(coop: Coop) -> None:
    answer = coop("client", "list", COOP_REDIS_URL="redis://127.0.0.1:1/0")

    assert answer.exit_code == 1
    assert answer.stderr.startswith("Error: ")
    assert answer.stderr.count("\n") == 1


def test_submit_without_credentials_says_where_they_come_from(coop: Coop) -> None:
    answer = coop("submit", "https://example.org/v")

    assert answer.exit_code == 1
    assert "start `coop up`" in answer.stderr


@pytest.mark.parametrize("given", ["COOP_API_KEY", "COOP_SIGNING_SECRET"])
def test_half_of_the_credentials_is_refused(coop: Coop, given: str) -> None:
    answer = coop("submit", "https://example.org/v", **{given: "x"})

    assert "COOP_API_KEY and COOP_SIGNING_SECRET go together" in answer.stderr


def test_a_gateway_that_is_not_there_is_one_line(coop: Coop) -> None:
    credentials = {"COOP_API_KEY": "k", "COOP_SIGNING_SECRET": "whsec_" + "YWJj" * 8}
    answer = coop("submit", "https://example.org/v", COOP_PUBLIC_URL="http://127.0.0.1:1", **credentials)

    assert answer.exit_code == 1
    assert answer.stderr.count("\n") == 1


def test_a_worker_is_told_which_stages_there_are(coop: Coop) -> None:
    answer = coop("worker", "--stages", "metadata,upload")

    assert answer.exit_code == 2
    assert "metadata, download, transcribe, analyze, ideas, deliver" in answer.stderr


def test_settings_show_present_values_and_mask_secrets(coop: Coop) -> None:
    answer = coop("settings", "--json", OPENAI_API_KEY="sk-very-secret", COOP_PORT="8123")
    rows = {row["variable"]: row for row in json.loads(answer.stdout)}

    assert "sk-very-secret" not in answer.output
    assert rows["OPENAI_API_KEY"]["value"] == "********"
    assert (rows["COOP_PORT"]["default"], rows["COOP_PORT"]["value"]) == ("8080", "8123")


def test_settings_without_options_are_for_people(coop: Coop) -> None:
    answer = coop("settings", COOP_PORT="8123")

    assert "COOP_PORT = 8123   (default: 8080)\n    Port the gateway listens on." in answer.stdout
