"""Callback endpoints that are down, rude, slow or broken. The time table runs in tenths of seconds here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler

import pytest

from coop import queue
from coop.jobs import DeliveryStatus, JobStatus
from tests.support.callback_receiver import CallbackReceiver
from tests.support.fleet import Fleet, fleet_on
from tests.support.redis_server import RedisServer

DELAYS = ",".join(["0.1"] * 10)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with RedisServer(folder / "redis") as server, fleet_on(server.url, folder) as fleet:
        fleet.start(stub={"delays": DELAYS}, deliver_deadline_seconds="2")
        yield fleet


@pytest.fixture
def receiver(fleet: Fleet) -> Iterator[CallbackReceiver]:
    with CallbackReceiver(fleet.secret) as receiver:
        yield receiver


def test_an_endpoint_that_is_down_for_ten_attempts_has_the_same_message_at_the_eleventh(
    fleet: Fleet, receiver: CallbackReceiver
) -> None:
    receiver.answer = 500
    fleet.submit("down", callback_url=receiver.url)
    fleet.when(lambda job: len(job.delivery.attempts) == 10, "down", 60)
    receiver.answer = 204
    job = fleet.ended("down")
    callbacks = receiver.arrived()

    assert [attempt.status for attempt in job.delivery.attempts] == [500] * 10 + [204]
    assert (job.status, job.delivery.status) == (JobStatus.SUCCEEDED, DeliveryStatus.DELIVERED)
    assert [callback.problem for callback in callbacks] == [None] * 11
    assert len({(callback.headers["webhook-id"], callback.body) for callback in callbacks}) == 1


def test_after_the_eleventh_failure_the_delivery_is_exhausted_kept_and_can_be_sent_again(fleet: Fleet) -> None:
    job_id = fleet.submit("nobody", callback_url="http://127.0.0.1:9/")
    job = fleet.ended("nobody", 60)
    with CallbackReceiver(fleet.secret) as receiver:
        fleet.redis.hset(f"coop:job:{job_id}", "callback_url", receiver.url)
        queue.enqueue(fleet.store.redeliver(job_id))
        again = fleet.when(lambda job: job.delivery.status is DeliveryStatus.DELIVERED, "nobody")
        callback = receiver.wait(5)

    assert (job.status, job.delivery.status, len(job.delivery.attempts)) == (
        JobStatus.SUCCEEDED,
        DeliveryStatus.EXHAUSTED,
        11,
    )
    assert all("refused" in (attempt.error or "") for attempt in job.delivery.attempts)
    assert len(again.delivery.attempts) == 12
    assert callback.problem is None


def test_an_endpoint_that_is_gone_is_left_alone(fleet: Fleet, receiver: CallbackReceiver) -> None:
    receiver.answer = 410
    fleet.submit("gone", callback_url=receiver.url)

    job = fleet.ended("gone")
    assert job.delivery.status is DeliveryStatus.EXHAUSTED
    assert [attempt.status for attempt in job.delivery.attempts] == [410]


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
def test_an_endpoint_that_asks_for_time_is_given_it(
    fleet: Fleet, receiver: CallbackReceiver, status: int, form: str
) -> None:
    receiver.answer = status
    receiver.headers = {"Retry-After": "600" if form == "seconds" else formatdate(time.time() + 600, usegmt=True)}
    name = f"busy-{status}-{form}"
    fleet.submit(name, callback_url=receiver.url)

    delivery = fleet.when(lambda job: job.delivery.next_attempt_at, name).delivery
    assert 590_000 < (delivery.next_attempt_at or 0) - delivery.attempts[0].at < 610_000


def test_a_redirect_is_not_followed(fleet: Fleet, receiver: CallbackReceiver) -> None:
    with CallbackReceiver(fleet.secret) as elsewhere:
        receiver.answer, receiver.headers = 307, {"Location": elsewhere.url}
        fleet.submit("moved", callback_url=receiver.url)
        job = fleet.ended("moved", 60)

        assert elsewhere.arrived() == []
    assert {attempt.status for attempt in job.delivery.attempts} == {307}
    assert job.delivery.status is DeliveryStatus.EXHAUSTED


def send_garbage(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x00\xffNOT HTTP AT ALL\r\n\r\n" * 50)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def say_nothing(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(3)


def trickle(handler: BaseHTTPRequestHandler) -> None:
    for _ in range(30):
        handler.wfile.write(b"H")
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("misbehave", "error"),
    [(send_garbage, ""), (hang_up, ""), (say_nothing, "no answer in time"), (trickle, "no answer in time")],
)
def test_an_endpoint_that_talks_no_http_costs_one_attempt_and_the_next_one_counts(
    fleet: Fleet, receiver: CallbackReceiver, misbehave: Callable[[BaseHTTPRequestHandler], None], error: str
) -> None:
    name = misbehave.__name__
    receiver.misbehave = misbehave
    fleet.submit(name, callback_url=receiver.url)
    fleet.when(lambda job: job.delivery.attempts, name)
    receiver.misbehave = None
    job = fleet.ended(name)

    assert (job.status, job.delivery.status) == (JobStatus.SUCCEEDED, DeliveryStatus.DELIVERED)
    assert job.delivery.attempts[0].status is None
    assert error in (job.delivery.attempts[0].error or "")


def test_deliveries_go_on_when_the_job_is_past_its_greatest_age(fleet: Fleet, receiver: CallbackReceiver) -> None:
    receiver.answer = 500
    job_id = fleet.submit("old", callback_url=receiver.url)
    fleet.when(lambda job: job.delivery.attempts, "old")
    fleet.redis.hset(f"coop:job:{job_id}", "accepted_at", fleet.store.now_ms() - 10 * 86_400_000)
    receiver.answer = 204

    assert fleet.ended("old").delivery.status is DeliveryStatus.DELIVERED
