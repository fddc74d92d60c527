"""Callers who send slowly, too much, or go away: the others are served."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psutil
import pytest
import requests

from api.rsgi import BODY_SECONDS
from coop.sdk import CoopError
from tests.support.fleet import eventually
from tests.support.gateway import SUBMIT, VIDEO, Served, served_on
from tests.support.raw_http import answer_to, connect, head, read_answer
from tests.support.redis_server import RedisServer

SLOW = 200
THREADS = 16


@pytest.fixture(scope="module")
def served(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Few threads, so that one that is held would be missed."""
    folder = tmp_path_factory.mktemp("loads")
    with served_on(redis_server.url, folder, gateway_threads=str(THREADS)) as gateway:
        yield gateway


def slow_senders(served: Served, stack: ExitStack, *fields: str) -> list[socket.socket]:
    """As many as the issue names, each with a body begun and never ended."""
    lines = [stack.enter_context(connect(served)) for _ in range(SLOW)]
    for line in lines:
        line.sendall(head("POST", SUBMIT, "Content-Type: application/json", "Content-Length: 1000", *fields) + b"{")
    return lines


@pytest.mark.parametrize("with_key", [False, True], ids=["strangers", "with a key"])
def test_slow_senders_hold_nobody_up(served: Served, with_key: bool) -> None:
    fields = [f"Authorization: Bearer {served.credentials.api_key}"] if with_key else []
    with ExitStack() as stack, ThreadPoolExecutor(THREADS) as honest:
        lines = slow_senders(served, stack, *fields)
        asked = [
            honest.submit(served.client.submit, VIDEO, request_id=f"s{with_key:d}-{number}") for number in range(100)
        ]
        for line in lines:
            line.sendall(b" ")

        assert {each.result(timeout=BODY_SECONDS)["status"] for each in asked} == {"queued"}
        # What is slow has an end of its own, and is told so.
        assert read_answer(lines[0])[0] == 408


def test_slow_headers_hold_nobody_up(served: Served) -> None:
    with ExitStack() as stack:
        for _ in range(SLOW):
            stack.enter_context(connect(served)).sendall(b"GET /api/jobs HTTP/1.1\r\nHost: ga")

        assert served.client.jobs()["jobs"] is not None


def test_a_body_that_states_too_much_is_refused_unread(served: Served) -> None:
    status, answer = answer_to(served, head("POST", SUBMIT, "Content-Length: 99999999999"))

    assert (status, b'"body_too_large"' in answer) == (413, True)


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "+5", "12, 13"])
def test_a_length_that_is_no_number_is_refused(served: Served, length: str) -> None:
    assert answer_to(served, head("POST", SUBMIT, f"Content-Length: {length}"))[0] in (0, 400)


def test_a_body_of_two_lengths_is_refused(served: Served) -> None:
    smuggled = head("POST", SUBMIT, "Content-Length: 5", "Transfer-Encoding: chunked", "Connection: close")
    lengths = head("POST", SUBMIT, "Content-Length: 5", "Content-Length: 6")

    assert answer_to(served, smuggled + b"0\r\n\r\n")[0] in (0, 400, 401)
    assert answer_to(served, lengths + b"hello")[0] in (0, 400)


@pytest.mark.parametrize("size", [200_000, 1_000_000])
def test_headers_have_a_size(served: Served, size: int) -> None:
    assert answer_to(served, head("GET", "/api/jobs", f"Authorization: Bearer {'x' * size}"))[0] in (0, 431)


def test_a_variable_cannot_be_set_by_an_underscore(served: Served) -> None:
    """`authorization` and `webhook-id` are looked up as variables of WSGI, in which both spellings would be one."""
    key = served.credentials.api_key
    status, answer = answer_to(
        served, head("GET", "/api/jobs", f"X_Request_Id: planted\r\nAuthorization: Bearer {key}")
    )

    assert (status, b"planted" in answer) == (200, False)


def test_callers_who_leave_within_their_body_are_no_error(served: Served) -> None:
    with ExitStack() as stack:
        slow_senders(served, stack)
    eventually(lambda: not _connections(served), what="the end of their connections")
    served.client.submit(VIDEO, request_id="after-those-who-left")

    assert "Traceback" not in served.log.read_text()


def _connections(served: Served) -> int:
    """Of the gateway with its callers."""
    port = int(served.url.rsplit(":", 1)[1])
    processes = psutil.Process(served.process.pid).children(recursive=True)
    open_ones = [line for process in processes for line in process.net_connections("tcp") if line.laddr.port == port]
    return sum(line.status == psutil.CONN_ESTABLISHED for line in open_ones)


def test_the_place_of_a_caller_who_left_is_free_at_once(served: Served) -> None:
    served.client.submit(VIDEO, request_id="left")
    key = served.credentials.api_key
    most = THREADS * 3 // 4
    for _ in range(3):
        with ExitStack() as stack:
            for _ in range(most):
                line = stack.enter_context(connect(served))
                line.sendall(head("GET", "/api/jobs/left/events", f"Authorization: Bearer {key}"))
                assert line.recv(12).endswith(b"200")
        begun = time.monotonic()
        eventually(lambda: _streams(served), seconds=5, what="a free place")
        assert time.monotonic() - begun < 5


def _streams(served: Served) -> bool:
    events = served.client.events("left")
    try:
        next(events)
    except CoopError as error:
        if error.code != "unavailable":
            raise
        return False
    events.close()  # type: ignore[attr-defined]  # a generator
    return True


def test_the_gateway_may_hold_thousands_of_connections(served: Served) -> None:
    if not hasattr(psutil.Process, "rlimit"):
        pytest.skip("the system does not tell another process' limits")
    (child,) = [each for each in psutil.Process(served.process.pid).children() if each.num_threads() > 2]

    soft, hard = child.rlimit(psutil.RLIMIT_NOFILE)
    assert soft == min(hard, 8192) or hard == psutil.RLIM_INFINITY


def test_it_answers_after_all_of_it(served: Served) -> None:
    assert requests.get(f"{served.url}/health/ready", timeout=5).ok
