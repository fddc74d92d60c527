"""`coop flower`"""

from __future__ import annotations

import click

from coop.parts import become, flower_part
from coop.settings import read_settings


@click.command()
@click.option("--address", help="Address to listen on.  [default: COOP_FLOWER_HOST]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [default: COOP_FLOWER_PORT]")
def command(address: str | None, port: int | None) -> None:
    """Run Flower behind COOP_FLOWER_BASIC_AUTH (USER:PASSWORD), against COOP_REDIS_URL."""
    given = {"flower_host": address, "flower_port": port}
    settings = read_settings().model_copy(update={name: value for name, value in given.items() if value is not None})
    become(flower_part(settings))
