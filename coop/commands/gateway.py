"""`coop gateway`"""

from __future__ import annotations

import click

from coop.parts import become, gateway_part
from coop.settings import read_settings


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [default: COOP_PORT]")
def command(port: int | None) -> None:
    """Run the gateway alone, against COOP_REDIS_URL."""
    settings = read_settings()
    if port is not None:
        settings = settings.model_copy(update={"port": port})
    become(gateway_part(settings))
