"""`coop submit`"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from typing import Any

import click

from coop.commands.terminal import note, print_json
from coop.jobs import Priority
from coop.local_client import find_client
from coop.progress import follow
from coop.sdk import Coop
from coop.settings import read_settings

RECONNECTS = 30
FINAL_WAIT_SECONDS = 10


@click.command()
@click.argument("url")
@click.option("--priority", type=click.Choice([each.value for each in Priority]), default="normal", show_default=True)
@click.option("--wait", is_flag=True, help="Show the progress and print the result; exit 1 if the job fails.")
@click.option("--callback", metavar="URL", help="Where the result is sent to.")
@click.option("--request-id", metavar="ID", help="The same ID again is the same job.  [default: made up]")
@click.option("--language", metavar="TAG", help="Language of the speech, as in en or pt-BR.  [default: detected]")
@click.option("--ideas", type=click.IntRange(1, 10), help="How many content ideas.  [default: 3]")
@click.option("--captions", type=click.Choice(["prefer", "never"]), help="Take captions of the uploader instead.")
def command(
    url: str, priority: str, wait: bool, callback: str | None, request_id: str | None, **options: object
) -> None:
    """Submit the video at URL, as a registered client would."""
    caller = find_client(read_settings())
    coop = Coop(caller.gateway_url, caller.api_key, caller.signing_secret)
    request: dict[str, Any] = {
        "request_id": request_id or f"req_{secrets.token_hex(8)}",
        "priority": priority,
        "callback_url": callback,
        "options": {name: value for name, value in options.items() if value is not None},
    }
    accepted = coop.submit(url, **request)
    if not wait:
        print_json(accepted)
        return
    note(f"{request['request_id']} is {accepted['status']} at {caller.gateway_url}")
    follow(_until_over(coop.changes(request["request_id"], reconnects=RECONNECTS)), sys.stderr)
    # The same request again is no second job: it is how the final document is asked for.
    result = coop.submit(url, **request, wait_seconds=FINAL_WAIT_SECONDS)
    print_json(result)
    sys.exit(0 if result.get("success") and "result" in result else 1)


def _until_over(documents: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for document in documents:
        yield document
        if _is_over(document):
            return


def _is_over(document: dict[str, Any]) -> bool:
    """The job has ended, and its callback, if it has one, was tried: later attempts may take a day."""
    delivery = document["delivery"]
    return bool(document["endedAt"] and (delivery["status"] != "pending" or delivery["attempts"]))
