"""How commands speak: one JSON document on stdout for machines, everything else on stderr."""

from __future__ import annotations

import json
from typing import Any

import click


def print_json(document: Any) -> None:
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def note(message: str) -> None:
    click.echo(message, err=True)
