"""`python -m tests.support.dying_gateway`: a gateway that is killed between a job's acceptance and the answer."""

from __future__ import annotations

import os
import signal

from werkzeug.serving import make_server

from api.application import create_app
from api.routes import submit
from coop.settings import read_settings


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    submit._accepted_response = die
    settings = read_settings()
    make_server(settings.host, settings.port, create_app(settings), threaded=True).serve_forever()
