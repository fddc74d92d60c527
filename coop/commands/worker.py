"""`coop worker`"""

from __future__ import annotations

import click

from coop.jobs import Stage
from coop.parts import become, worker_part
from coop.settings import read_settings


def _stages(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[Stage, ...]:
    try:
        return tuple(Stage(name.strip()) for name in value.split(",") if name.strip()) if value else ()
    except ValueError as error:
        raise click.BadParameter(f"{error}; the stages are {', '.join(Stage)}") from error


@click.command()
@click.option("--stages", metavar="a,b", callback=_stages, help="Only these stages.  [default: all]")
@click.option("--slots", type=click.IntRange(1, 512), help="Stages run at once.  [default: COOP_SLOTS]")
def command(stages: tuple[Stage, ...], slots: int | None) -> None:
    """Run one worker, against COOP_REDIS_URL."""
    settings = read_settings()
    if slots is not None:
        settings = settings.model_copy(update={"slots": slots})
    become(worker_part(settings, stages))
