"""The gateway as it is really served: a process of its own, asked over HTTP."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import redis
import requests

from api.turns import AT_ONCE
from coop.errors import JobError
from coop.job_store import JobStore
from coop.jobs import Stage, job_id_of
from coop.sdk import Coop, CoopError, Unreachable
from tests.support.fleet import eventually
from tests.support.gateway import VIDEO, Served, served_on
from tests.support.jobs import OUTPUTS, store_of
from tests.support.redis_server import RedisServer, free_port

HELD = 150


@pytest.fixture(scope="module")
def served(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served_on(redis_server.url, tmp_path_factory.mktemp("gateway"), max_wait_seconds="60") as gateway:
        yield gateway


@pytest.fixture
def coop(served: Served) -> Coop:
    return served.client


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[JobStore]:
    with redis.Redis.from_url(redis_server.url) as client:
        yield store_of(client)


def end(store: JobStore, served: Served, request_id: str) -> None:
    """Do the job's work as a worker would."""
    job_id = job_id_of(served.credentials.server_id, request_id)
    for stage, output in OUTPUTS.items():
        claim = store.claim(job_id, 1, stage, "mill")
        (store.succeed if stage is Stage.IDEAS else store.advance)(claim, output, {})  # type: ignore[arg-type]


def test_a_job_is_submitted_followed_and_read(coop: Coop, served: Served, store: JobStore) -> None:
    accepted = coop.submit(VIDEO, request_id="a:1", options={"ideas": 1})
    assert accepted["statusUrl"] == f"{served.url}/api/jobs/a:1"
    seen = []
    for document in coop.events("a:1"):
        if not seen:
            end(store, served, "a:1")
        seen.append(document["status"])

    assert (seen[0], seen[-1]) == ("queued", "succeeded")
    assert coop.wait("a:1")["result"]["transcript"] == "Hello there."
    assert coop.transcript("a:1", "vtt").startswith("WEBVTT")
    assert "a:1" in [job["requestId"] for job in coop.jobs("succeeded")["jobs"]]


def test_a_submit_may_wait_for_its_result(coop: Coop, served: Served, store: JobStore) -> None:
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(coop.submit, VIDEO, request_id="w1", wait_seconds=30)
        eventually(lambda: store.get(job_id_of(served.credentials.server_id, "w1")))
        end(store, served, "w1")

        assert answer.result()["success"] is True


def test_a_job_can_be_cancelled_and_driven_again(coop: Coop) -> None:
    coop.submit(VIDEO, request_id="c1")

    assert coop.cancel("c1")["status"] == "cancelled"
    assert coop.retry("c1")["status"] == "queued"


def test_a_refusal_says_what_is_wrong(coop: Coop) -> None:
    with pytest.raises(CoopError, match=r"url_not_allowed.*videoUrl") as refused:
        coop.submit("http://127.0.0.1/")

    assert (refused.value.code, refused.value.status) == ("url_not_allowed", 422)


def test_waiting_has_an_end(coop: Coop) -> None:
    coop.submit(VIDEO, request_id="t1")

    with pytest.raises(TimeoutError):
        coop.wait("t1", timeout_seconds=0.2)


def test_a_gateway_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(Unreachable):
        Coop(f"http://127.0.0.1:{free_port()}", "k", "whsec_AAAA").jobs()


def test_held_requests_and_streams_leave_room_for_others(coop: Coop, served: Served, store: JobStore) -> None:
    with ThreadPoolExecutor(HELD) as threads, ExitStack() as streams:
        held = [threads.submit(coop.submit, VIDEO, request_id=f"h{n}", wait_seconds=60) for n in range(HELD // 2)]
        eventually(lambda: len(coop.jobs("queued", 100)["jobs"]) >= HELD // 2)
        for number in range(HELD // 2):
            events = coop.events(f"h{number}")
            assert next(events)["status"] == "queued"
            streams.callback(events.close)  # type: ignore[attr-defined]

        assert coop.job("h0")["status"] == "queued"
        assert requests.get(f"{served.url}/health/live", timeout=5).ok
        assert not any(each.done() for each in held)
        for number in range(HELD // 2):
            coop.cancel(f"h{number}")
        assert {each.result()["error"]["code"] for each in held} == {"cancelled"}


def test_more_than_64_kib_is_refused_also_without_a_stated_length(served: Served) -> None:
    chunks = (b" " * 1024 for _ in range(100))
    answer = requests.post(
        f"{served.url}/api/process-video",
        data=chunks,
        headers={"Authorization": f"Bearer {served.credentials.api_key}"},
        timeout=10,
    )

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_the_server_does_not_name_its_kind(served: Served) -> None:
    assert requests.get(f"{served.url}/health/live", timeout=5).headers["Server"] == "coop"


def test_an_idle_gateway_is_small(served: Served) -> None:
    parent = psutil.Process(served.process.pid)

    used = sum(process.memory_full_info().uss for process in (parent, *parent.children(recursive=True)))
    assert used < 150 * 2**20


def test_it_stops_soon_also_with_a_stream_open(redis_server: RedisServer, tmp_path: Path) -> None:
    with served_on(redis_server.url, tmp_path) as gateway:
        gateway.client.submit(VIDEO, request_id="s1")
        events = gateway.client.events("s1")
        next(events)
        gateway.process.terminate()

        assert gateway.process.wait(timeout=8) == 0
        with pytest.raises(Unreachable):
            next(events)


def test_a_caller_goes_on_waiting_through_a_restart_of_the_gateway(
    redis_server: RedisServer, store: JobStore, tmp_path: Path
) -> None:
    with ThreadPoolExecutor() as threads:
        with served_on(redis_server.url, tmp_path) as first:
            coop = first.client
            coop.submit(VIDEO, request_id="g1")
            waiting = threads.submit(coop.wait, "g1", 60)
        with served_on(redis_server.url, tmp_path) as second:
            # The same address again, as behind a proxy.
            coop.base_url = second.url
            store.abort(store.get(job_id_of(first.credentials.server_id, "g1")), JobError("no_audio"))  # type: ignore[arg-type]

            assert waiting.result()["error"]["code"] == "no_audio"


def test_a_wrong_setting_is_told_and_nothing_is_served(tmp_path: Path) -> None:
    environment = {"COOP_PORT": "many", "COOP_DATA_DIR": str(tmp_path), "PATH": ""}
    ended = subprocess.run(
        [sys.executable, "-m", "api.serve"], env=environment, capture_output=True, text=True, timeout=30, check=False
    )

    assert (ended.returncode, ended.stderr.partition(":")[0]) == (2, "COOP_PORT")


def test_the_gateway_loads_no_media_tool_and_no_model_client() -> None:
    script = "import sys, api.serve, api.application; print(sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)

    for name in ("yt_dlp", "openai", "faster_whisper", "av", "numpy", "nltk", "workers"):
        assert f"'{name}'" not in loaded.stdout


def test_held_requests_do_not_take_the_turns_of_others(redis_server: RedisServer, tmp_path: Path) -> None:
    with served_on(redis_server.url, tmp_path) as gateway, ThreadPoolExecutor(3 * AT_ONCE) as callers:
        for number in range(3 * AT_ONCE):
            callers.submit(gateway.client.submit, VIDEO, request_id=f"held-{number}", wait_seconds=4)
        eventually(lambda: len(gateway.client.jobs(limit=100)["jobs"]) == 3 * AT_ONCE)

        assert gateway.client.submit(VIDEO, request_id="free")["status"] == "queued"


def test_two_processes_serve_one_port(redis_server: RedisServer, tmp_path: Path) -> None:
    with served_on(redis_server.url, tmp_path, gateway_processes="2") as gateway:
        names = [gateway.client.submit(VIDEO, request_id=f"r{number}")["requestId"] for number in range(8)]
        serving = psutil.Process(gateway.process.pid).children()

        assert {job["requestId"] for job in gateway.client.jobs()["jobs"]} == set(names)
    assert len(serving) >= 2
