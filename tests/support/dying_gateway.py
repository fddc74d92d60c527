"""`python -m tests.support.dying_gateway`: a gateway that is killed between a job's acceptance and the answer."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING

from werkzeug.serving import make_server

from api.application import create_app
from api.routes import submit
from coop.settings import read_settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def with_whole_bodies(app: WSGIApplication) -> WSGIApplication:
    """As `api.rsgi` hands them over."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        return app(environ, start_response)

    return answer


if __name__ == "__main__":
    submit._accepted_response = die
    settings = read_settings()
    app = with_whole_bodies(create_app(settings))
    make_server(settings.host, settings.port, app, threaded=True).serve_forever()
