"""`coop settings`, and the two files made from it: docs/configuration.md and .env.example."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from coop.commands.terminal import print_json
from coop.settings import Settings, read_settings, variable_of

# Defaults that differ from machine to machine, in words.
COMPUTED = {
    "data_dir": "the user's data folder",
    "machine": "the host's name",
    "slots": "the number of cores, at least 4",
}

_DOCUMENT_HEAD = """# Configuration

Made by `coop settings --markdown`; do not edit it by hand.

Every setting is an environment variable, read once when a process starts, and also read from the file `.env` in the
working folder; the environment goes before the file. An empty value counts as unset. A value that makes no sense, or
a `COOP_` variable that does not exist, is refused by name. `coop settings` prints this list with the present values.

| variable | default | meaning |
|---|---|---|
"""

_DOTENV_HEAD = """# Settings of coop: copy to .env and fill in what you need. Made by `coop settings --dotenv`.
# What each one means in full: docs/configuration.md

# docker-compose.yml alone reads these two.
REDIS_PASSWORD=
GATEWAY_PORT=8080
"""


@dataclass(frozen=True)
class Row:
    """One setting, as it is shown."""

    variable: str
    default: str
    value: str
    meaning: str


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.option("--markdown", is_flag=True, help="Print docs/configuration.md.")
@click.option("--dotenv", is_flag=True, help="Print .env.example.")
def command(as_json: bool, markdown: bool, dotenv: bool) -> None:
    """Print every setting: meaning, default, present value (secrets masked)."""
    if markdown or dotenv:
        click.echo(markdown_document() if markdown else dotenv_document(), nl=False)
        return
    settings = read_settings()
    if as_json:
        print_json([vars(row) for row in rows(settings)])
        return
    for row in rows(settings):
        changed = "" if row.value == row.default else f"   (default: {row.default})"
        click.echo(f"{click.style(row.variable, bold=True)} = {row.value}{changed}")
        click.echo(f"    {row.meaning}")


def rows(settings: Settings) -> Iterator[Row]:
    for name, field in Settings.model_fields.items():
        yield Row(variable_of(name), _default(name, field), _shown(getattr(settings, name)), field.description or "")


def markdown_document() -> str:
    lines = []
    for name, field in Settings.model_fields.items():
        default = _default(name, field)
        if default and name not in COMPUTED:
            default = f"`{default}`"
        choices = _choices(field)
        meaning = f"{field.description} Takes {choices}." if choices else field.description
        lines.append(f"| `{variable_of(name)}` | {default} | {meaning} |\n")
    return _DOCUMENT_HEAD + "".join(lines)


def dotenv_document() -> str:
    lines = [_DOTENV_HEAD]
    for name, field in Settings.model_fields.items():
        default = _default(name, field)
        value, words = ("", f" Default: {default}.") if name in COMPUTED else (default, "")
        lines.append(f"\n# {field.description}{words}\n# {variable_of(name)}={value}\n")
    return "".join(lines)


def _default(name: str, field: FieldInfo) -> str:
    return COMPUTED[name] if field.default_factory else _shown(field.default)


def _shown(value: Any) -> str:
    """A value as it would be written in the environment; secrets are masked."""
    if value is None or value is PydanticUndefined:
        return ""
    if isinstance(value, SecretStr):
        return "********"
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _choices(field: FieldInfo) -> str:
    """The values of a closed list, empty for any other setting."""
    kind = field.annotation
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    if typing.get_origin(kind) is not typing.Literal:
        return ""
    return ", ".join(f"`{choice}`" for choice in typing.get_args(kind))
