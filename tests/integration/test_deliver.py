"""One attempt of a callback, with receivers that would keep it for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from coop.errors import Cancelled
from coop.settings import read_settings
from tests.support.callback_receiver import CallbackReceiver
from tests.support.fleet import eventually
from workers.engines.deadline import Deadline
from workers.stages import deliver

SECRET = "whsec_" + "c2VjcmV0" * 4  # any 24 bytes
SETTINGS = read_settings({"COOP_ALLOW_NETWORKS": "127.0.0.0/8"}, None)


def drip(handler: BaseHTTPRequestHandler) -> None:
    while True:
        handler.wfile.write(b"H")
        time.sleep(0.05)


def say_nothing(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.settimeout(60)
    handler.rfile.read(1)


@pytest.fixture(params=[drip, say_nothing])
def receiver(request: pytest.FixtureRequest) -> Iterator[CallbackReceiver]:
    """It notes when the sender has left."""
    misbehave: Callable[[BaseHTTPRequestHandler], None] = request.param

    def until_left(handler: BaseHTTPRequestHandler) -> None:
        try:
            misbehave(handler)
        except OSError:
            handler.close_connection = True

    with CallbackReceiver(SECRET) as receiver:
        receiver.misbehave = until_left
        yield receiver


def send(receiver: CallbackReceiver, deadline: Deadline) -> deliver.Answer:
    message = deliver.Message(receiver.url, "msg_1", b"{}", (SECRET,), int(time.time()))
    return deliver.run(message, SETTINGS, deadline)


def callback_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "callback"]


def test_an_attempt_leaves_no_thread_behind_its_deadline(receiver: CallbackReceiver) -> None:
    answer = send(receiver, Deadline(0.5))

    assert (answer.status, answer.error) == (None, "no answer in time")
    eventually(lambda: not callback_threads(), 10, "the end of the attempt's thread")


def test_an_attempt_that_is_cancelled_leaves_no_thread_behind(receiver: CallbackReceiver) -> None:
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()

    with pytest.raises(Cancelled):
        send(receiver, Deadline(30, cancelled))
    eventually(lambda: not callback_threads(), 10, "the end of the attempt's thread")
