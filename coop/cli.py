"""The command `coop`. Each command is a module of `coop.commands`, loaded when it is called: `--help` stays fast."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

# What each command does, for the list of commands; its own module holds the rest.
COMMANDS: Mapping[str, str] = {
    "up": "Run the whole service on this machine until Ctrl-C.",
    "gateway": "Run the gateway alone.",
    "worker": "Run one worker alone.",
    "flower": "Run Flower, the view into Celery, alone.",
    "client": "Register production servers, list and remove them, rotate their secrets.",
    "submit": "Submit a video, as a registered client would.",
    "status": "Show the fleet, or one job.",
    "retry": "Drive a failed or cancelled job again.",
    "cancel": "Cancel a job.",
    "settings": "Print every setting: meaning, default, present value.",
    "doctor": "Check this machine.",
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"coop.commands.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what can be foreseen to go wrong becomes one line and exit code 1."""
        try:
            return super().invoke(ctx)
        except _foreseen() as error:
            raise click.ClickException(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    from coop.errors import Problem

    if isinstance(error, Problem):
        return f"{error.title}: {error.detail}" if error.detail else error.title
    return str(error)


def _foreseen() -> tuple[type[Exception], ...]:
    """Called only when something went wrong, so that these imports cost nothing when all is well."""
    import redis
    import requests

    from coop.embedded_redis import EmbeddedRedisError
    from coop.errors import Problem
    from coop.sdk import CoopError, Unreachable
    from coop.settings import SettingsError
    from coop.supervisor import SupervisorError

    ours = (SettingsError, EmbeddedRedisError, SupervisorError, Problem, CoopError, Unreachable)
    return *ours, redis.RedisError, requests.RequestException


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="coop")
def main() -> None:
    """Short videos understood on machines that people already own."""


if __name__ == "__main__":
    main()
