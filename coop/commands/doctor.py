"""`coop doctor`"""

from __future__ import annotations

import sys

import click

from coop.commands.terminal import print_json
from coop.doctor import Finding, examine
from coop.settings import read_settings

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def command(as_json: bool) -> None:
    """Check this machine: Redis, ffmpeg, yt-dlp, JavaScript, disk, clock, engines, network. Exit 1 if one fails."""
    findings: list[Finding] = []
    for finding in examine(read_settings()):
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        print_json([vars(finding) for finding in findings])
    sys.exit(any(finding.verdict == "fail" for finding in findings))


def _print(finding: Finding) -> None:
    verdict = click.style(f"{finding.verdict:4}", fg=_COLOURS[finding.verdict])
    click.echo(f"{verdict}  {finding.check:<17} {finding.found}")
    if finding.advice:
        click.echo(f"      {'':<17} -> {finding.advice}")
