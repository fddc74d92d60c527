"""Junk in the queues and commands to the workers: refused, logged, counted; the next job runs."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import Celery
from kombu import Connection

from coop import queue
from coop.jobs import JobStatus, Priority, Stage
from coop.metrics import METRICS_KEY
from tests.support.fleet import Fleet, eventually, fleet_on
from tests.support.jobs import settings_of
from tests.support.redis_server import RedisServer
from workers import messages
from workers.messages import MAX_BODY_CHARS, refusal_of
from workers.reaper import Reaper
from workers.remote_control import ALLOWED

QUEUE = Stage.METADATA.queue
Message = dict[str, Any]


@pytest.fixture(scope="module")
def running_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("messages")
    with RedisServer(folder / "redis") as server, fleet_on(server.url, folder) as running:
        running.start()
        yield running


@pytest.fixture
def fleet(running_fleet: Fleet) -> Fleet:
    queue.use_as_publisher(running_fleet.redis_url, 5)  # other fixtures publish elsewhere
    return running_fleet


@pytest.fixture(scope="module")
def real_message(tmp_path_factory: pytest.TempPathFactory) -> Message:
    """What the gateway sends."""
    folder = tmp_path_factory.mktemp("message")
    with RedisServer(folder / "redis") as server, fleet_on(server.url, folder) as idle:
        idle.submit()
        message: Message = json.loads(idle.redis.lindex(queue.list_of(Stage.METADATA, Priority.NORMAL), -1))
    return message


@pytest.fixture
def message(real_message: Message) -> Message:
    return copy.deepcopy(real_message)


def with_body(message: Message, change: Callable[[Any], Any]) -> Message:
    content = json.loads(base64.b64decode(message["body"]))
    content = change(content) or content
    return message | {"body": base64.b64encode(json.dumps(content).encode()).decode()}


def with_header(message: Message, **headers: object) -> Message:
    return message | {"headers": message["headers"] | headers}


def test_what_the_gateway_sends_fits(message: Message) -> None:
    assert refusal_of(message, QUEUE) is None


def test_a_stage_without_later_stages_fits(message: Message) -> None:
    assert refusal_of(with_body(message, lambda body: body[2].update(chain=None)), QUEUE) is None


@pytest.mark.parametrize(
    "task",
    ["os.system", "celery.map", "celery.chord_unlock", "celery.backend_cleanup", Stage.DELIVER.task, "", None, [1]],
)
def test_another_task_than_the_queues_own_is_unknown(task: object, message: Message) -> None:
    assert refusal_of(with_header(message, task=task), QUEUE) == "unknown_task"


@pytest.mark.parametrize(
    "arguments", [[], ["job"], ["job", "1"], ["job", 1.5], ["job", True], ["job", 0], [{"a": 1}, 1], ["j" * 600, 1]]
    + [["job", 1, 2], [None, 1], "ab", {"job_id": "x", "run": 1}],
)  # fmt: skip
def test_wrong_arguments_are_malformed(arguments: object, message: Message) -> None:
    assert refusal_of(with_body(message, lambda body: [arguments, *body[1:]]), QUEUE) == "malformed"


def evil_step(**changes: object) -> Callable[[Any], None]:
    return lambda body: body[2]["chain"][0].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: [body[0], {"job_id": "other"}, body[2]],
        lambda body: body[2].update(callbacks=[{"task": Stage.DELIVER.task}]),
        lambda body: body[2].update(errbacks=[{"task": Stage.DELIVER.task}]),
        lambda body: body[2].update(chord={"task": "celery.chord_unlock"}),
        lambda body: body[2].update(chain=body[2]["chain"] * 2),
        evil_step(task="os.system"),
        evil_step(args=["somebody:elses", 1]),
        evil_step(subtask_type="chord"),
        evil_step(options={"queue": "elsewhere", "priority": 5, "task_id": "x"}),
        evil_step(options={"queue": Stage.DELIVER.queue, "priority": 5, "task_id": "x", "link": [{"task": "x"}]}),
        lambda body: {"not": "a list"},
        lambda body: "text",
        lambda body: 7,
    ],
)
def test_a_body_that_carries_more_than_its_own_job_is_malformed(change: Callable[[Any], Any], message: Message) -> None:
    assert refusal_of(with_body(message, change), QUEUE) == "malformed"


@pytest.mark.parametrize(
    "headers", [{"eta": "3000-01-01T00:00:00Z"}, {"expires": "x"}, {"compression": "zlib"}, {"id": None}, {"id": ""}]
)
def test_a_message_that_waits_or_unpacks_is_malformed(headers: dict[str, object], message: Message) -> None:
    assert refusal_of(with_header(message, **headers), QUEUE) == "malformed"


@pytest.mark.parametrize("kind", ["application/x-python-serialize", "application/x-yaml", "application/data", "", None])
def test_nothing_but_json_is_unpacked(kind: str | None, message: Message) -> None:
    pickled = base64.b64encode(pickle.dumps((["job", 1], {}, {}))).decode()

    assert refusal_of(message | {"content-type": kind, "body": pickled}, QUEUE) == "malformed"
    assert refusal_of(message | {"body": pickled}, QUEUE) == "malformed"


def test_a_huge_or_deeply_nested_body_is_malformed(message: Message) -> None:
    for body in (b"x" * MAX_BODY_CHARS, b"[" * 10_000, b"\xff\xfe"):
        assert refusal_of(message | {"body": base64.b64encode(body).decode()}, QUEUE) == "malformed"


@pytest.mark.parametrize("junk", [None, 1, "text", [], {}, {"headers": None}, {"headers": []}])
def test_what_is_no_message_at_all_is_malformed(junk: object) -> None:
    assert refusal_of(junk, QUEUE) == "malformed"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://h/0", messages.Transport),
        ("rediss://h/0", messages.Transport),
        ("sentinel://a:1;sentinel://b:1", messages.SentinelTransport),
    ],
)
def test_messages_are_looked_at_however_redis_is_reached(url: str, kind: type) -> None:
    used = type(Connection(url, transport=messages.transport_for(url)).transport)

    assert used is kind
    assert used.Channel._brpop_read.__qualname__ == "_GuardedChannel._brpop_read"
    assert used._deliver.__qualname__ == "_GuardedTransport._deliver"


JUNK = [
    b"", b"\x00\xff\xfe", b"not json", b"null", b"[]", b"{}", b"7", b'"text"', b"[" * 100_000, b'{"headers": {}}',
    b'{"__type__": "datetime", "__value__": "x"}', b'{"__type__": "nothing", "__value__": 1}',
    b'{"headers": {"task": "os.system", "id": "x"}, "properties": {}}', b"x" * 5_000_000,
    pickle.dumps({"headers": {"task": Stage.METADATA.task}}), b"!!python/object/apply:os.system [id]",
]  # fmt: skip


def test_junk_in_every_list_of_a_queue_harms_nothing(fleet: Fleet, message: Message) -> None:
    worker = fleet.workers[0].process
    assert worker
    starts = fleet.workers[0].starts
    bad = [json.dumps(with_header(message, task="celery.map")), json.dumps(message | {"body": 7})]
    for priority in Priority:
        fleet.redis.lpush(queue.list_of(Stage.METADATA, priority), *JUNK, *bad)
    fleet.submit("after-the-junk")

    assert fleet.ended("after-the-junk").status is JobStatus.SUCCEEDED
    assert (worker.poll(), fleet.workers[0].starts) == (None, starts)
    assert [fleet.redis.llen(queue.list_of(Stage.METADATA, priority)) for priority in Priority] == [0, 0, 0]


def test_refused_messages_are_counted_and_logged_without_their_content(fleet: Fleet) -> None:
    fleet.redis.delete(METRICS_KEY)
    for junk in (b"secret-of-somebody {", b"[]", b'{"headers": {"task": "secret-of-somebody"}}'):
        fleet.redis.lpush(queue.list_of(Stage.IDEAS, Priority.HIGH), junk)

    def counted() -> dict[str, float]:
        fields = {
            json.loads(field)[2]: float(n)
            for field, n in fleet.redis.hgetall(METRICS_KEY).items()
            if b"refused" in field
        }
        return fields if sum(fields.values()) == 3 else {}

    assert eventually(counted) == {"unreadable": 1, "malformed": 1, "unknown_task": 1}
    log = fleet.workers[0].log.read_text()
    assert "message refused" in log
    assert "secret-of-somebody" not in log


def test_junk_that_no_worker_takes_does_not_stop_the_reaper(own_redis: RedisServer, tmp_path: Path) -> None:
    with fleet_on(own_redis.url, tmp_path) as idle:
        job = idle.accept()
        for junk in JUNK:
            idle.redis.rpush(queue.list_of(Stage.METADATA, Priority.NORMAL), junk)
            Reaper(idle.store, settings_of(own_redis.url, lease_seconds="1")).tick()

        assert idle.job().run == job.run


DANGEROUS = [
    ("shutdown", {}), ("pool_restart", {"modules": ["os"]}), ("pool_grow", {"n": 9}), ("pool_shrink", {"n": 4}),
    ("autoscale", {"max": 99, "min": 99}), ("add_consumer", {"queue": "evil"}), ("cancel_consumer", {"queue": QUEUE}),
    ("rate_limit", {"task_name": Stage.METADATA.task, "rate_limit": "1/h"}), ("revoke", {"task_id": "x"}),
    ("time_limit", {"task_name": Stage.METADATA.task, "hard": 1}), ("terminate", {"task_id": "x", "signal": "KILL"}),
    ("revoke_by_stamped_headers", {"headers": {"a": "b"}}), ("election", {"id": "x", "topic": "t"}),
    ("memdump", {}), ("objgraph", {}), ("memsample", {}), ("disable_events", {}), ("hello", {"from_node": "x"}),
]  # fmt: skip


@pytest.mark.parametrize(("command", "arguments"), DANGEROUS)
def test_a_command_that_would_change_a_worker_is_not_known_to_it(
    command: str, arguments: dict[str, object], fleet: Fleet
) -> None:
    assert command not in ALLOWED
    with Celery("somebody else's", broker=fleet.redis_url) as client:
        client.control.broadcast(command, arguments=arguments)

        eventually(lambda: f"KeyError('{command}')" in fleet.workers[0].log.read_text(), what=command)
        assert client.control.inspect(timeout=10, limit=1).ping()


def test_what_a_worker_tells_of_its_settings_holds_no_password(fleet: Fleet) -> None:
    with Celery("somebody else's", broker=fleet.redis_url) as client:
        (told,) = (client.control.inspect(timeout=10, limit=1).conf() or {}).values()

    assert told["accept_content"] == ["json"]
    assert fleet.redis_url not in json.dumps(told)


def test_junk_on_the_channel_of_commands_harms_nothing(fleet: Fleet, message: Message) -> None:
    process = psutil.Process(fleet.workers[0].process.pid)  # type: ignore[union-attr]  # it was started
    bodies = [base64.b64encode(body).decode() for body in (b"7", b"[]", b'{"method": 7}', b"\xff", b"[" * 10_000)]
    for junk in (*JUNK, *(json.dumps(message | {"body": body, "headers": {}}) for body in bodies)):
        assert fleet.redis.publish("/0.celery.pidbox", junk) == 1
    fleet.submit("after-the-commands")

    assert fleet.ended("after-the-commands").status is JobStatus.SUCCEEDED
    assert process.is_running()
