"""`coop client`"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from coop.clients import OVERLAP_SECONDS, Client, ClientError, ClientRegistry, Credentials, parse_rate
from coop.commands.terminal import print_json
from coop.redis_client import connect
from coop.settings import read_settings


@click.group()
def command() -> None:
    """Register production servers, list and remove them, rotate their secrets."""


@command.command()
@click.argument("name")
@click.option("--allow-ip", "networks", metavar="CIDR", multiple=True, help="It may call from there only.")
@click.option("--callback-host", "hosts", metavar="HOST", multiple=True, help="Results may be sent there only.")
@click.option("--rate", metavar="N/minute", help="How many requests it may make.")
def add(name: str, networks: tuple[str, ...], hosts: tuple[str, ...], rate: str | None) -> None:
    """Register NAME and print its credentials: they are shown this once."""
    with _registry() as registry:
        _show(registry.add(name, networks, hosts, parse_rate(rate) if rate else None))


@command.command("list")
def list_clients() -> None:
    """Print all clients, without their secrets."""
    with _registry() as registry:
        print_json([_document(client) for client in registry.list()])


@command.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget NAME: its key is refused from now on, its jobs go on."""
    with _registry() as registry:
        registry.remove(name)
        print_json({"serverId": name, "removed": True})


@command.command()
@click.argument("name")
@click.option(
    "--overlap-seconds",
    type=click.IntRange(min=0),
    default=OVERLAP_SECONDS,
    show_default=True,
    help="How long the old key and secret hold beside the new ones.",
)
def rotate(name: str, overlap_seconds: int) -> None:
    """Give NAME a new key and secret and print them: they are shown this once."""
    with _registry() as registry:
        _show(registry.rotate(name, overlap_seconds))


@contextmanager
def _registry() -> Iterator[ClientRegistry]:
    with connect(read_settings()) as client:
        try:
            yield ClientRegistry(client)
        except ClientError as error:
            raise click.ClickException(str(error)) from error


def _show(made: Credentials) -> None:
    print_json({"serverId": made.server_id, "apiKey": made.api_key, "signingSecret": made.signing_secret})


def _document(client: Client) -> dict[str, object]:
    return {
        "serverId": client.name,
        "allowIp": [str(network) for network in client.networks],
        "callbackHosts": list(client.callback_hosts),
        "ratePerMinute": client.rate,
        "createdAt": client.created_at,
    }
