"""One request through gateway, worker and callback: an id, an audit line each, and no secret in any output."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis
import requests

from coop.sdk import Coop
from coop.webhooks import sign_request
from tests.support.callback_receiver import CallbackReceiver
from tests.support.fleet import Worker, eventually
from tests.support.gateway import SUBMIT, Served, served_on
from tests.support.redis_server import RedisServer, free_port

PASSWORD = "planted-redis-password"
OPENAI = "planted-openai-key"
TOKENS = ("planted-video-token", "planted-callback-token", "planted-cookie", "planted-guess", "planted-query")


@dataclass
class Service:
    """Gateway and worker on one Redis with a password, and what they wrote."""

    served: Served
    worker: Worker
    environment: dict[str, str]

    def lines(self) -> list[dict[str, Any]]:
        text = self.served.log.read_text() + self.worker.log.read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def logged(self, event: str, **values: object) -> list[dict[str, Any]]:
        found = [line for line in self.lines() if line.get("event") == event]
        return [line for line in found if values.items() <= line.items()]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("logs")
    with RedisServer(folder / "redis") as server:
        with redis.Redis.from_url(server.url) as client:
            client.config_set("requirepass", PASSWORD)
        url = server.url.replace("//", f"//:{PASSWORD}@")
        settings = {"allow_networks": "127.0.0.0/8", "sites": "all", "log_level": "debug"}
        worker = Worker(url, folder, app="workers.app", **settings)
        worker.environment["OPENAI_API_KEY"] = OPENAI
        with served_on(url, folder, **settings) as served, pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPENAI_API_KEY", OPENAI)
            worker.start().wait_until_ready()
            try:
                yield Service(served, worker, worker.environment)
            finally:
                worker.stop()


def submit(service: Service, request_id: str, video_url: str, callback_url: str) -> requests.Response:
    """As `Coop.submit` does, with an id of the request and the key in the body too."""
    credentials = service.served.credentials
    body = json.dumps(
        {
            "requestId": request_id,
            "videoUrl": video_url,
            "apiKey": credentials.api_key,
            "serverInfo": {"callbackUrl": callback_url},
        }
    )
    signature = sign_request(
        credentials.signing_secret, "POST", SUBMIT, body.encode(), f"msg-{request_id}", int(time.time())
    )
    return requests.post(
        f"{service.served.url}{SUBMIT}?planted=planted-query",
        data=body,
        headers={
            "Authorization": f"Bearer {credentials.api_key}",
            "Content-Type": "application/json",
            "Cookie": "session=planted-cookie",
            "X-Request-Id": f"trace-{request_id}",
            **signature,
        },
        timeout=10,
    )


def test_the_id_of_a_request_goes_on_to_worker_and_callback(service: Service) -> None:
    with CallbackReceiver(service.served.credentials.signing_secret) as receiver:
        answer = submit(service, "t1", f"http://127.0.0.1:{free_port()}/watch?v=1", receiver.url)
        assert answer.headers["X-Request-Id"] == "trace-t1"
        eventually(lambda: service.logged("a stage failed and is tried again", trace="trace-t1"), what="the stage")
        service.served.client.cancel("t1")
        callback = receiver.wait(20)

    assert callback.headers["x-request-id"] == "trace-t1"
    attempted = eventually(lambda: service.logged("callback attempted", trace="trace-t1"), what="its line")
    assert (attempted[0]["client"], attempted[0]["host"], attempted[0]["status"]) == (
        service.served.credentials.server_id,
        "127.0.0.1",
        204,
    )
    assert attempted[0]["seconds"] >= 0


def test_each_request_has_one_line_that_says_who_what_and_how_it_ended(service: Service) -> None:
    url = service.served.url
    requests.get(
        f"{url}/api/jobs/nope", headers={"Authorization": "Bearer planted-guess", "X-Request-Id": "a1"}, timeout=5
    )
    service.served.client.jobs()

    (refused,) = service.logged("request answered", trace="a1")
    assert {name: refused[name] for name in ("client", "address", "method", "path", "status", "code")} == {
        "client": None,
        "address": "127.0.0.1",
        "method": "GET",
        "path": "/api/jobs/nope",
        "status": 401,
        "code": "invalid_key",
    }
    taken = service.logged("request answered", path="/api/jobs", status=200)
    assert taken[-1]["client"] == service.served.credentials.server_id
    assert 0 < taken[-1]["seconds"] < 10


def test_the_line_of_a_stream_is_written_at_its_end(service: Service) -> None:
    submit(service, "s1", "http://127.0.0.1:9/", "http://127.0.0.1:9/")
    events = service.served.client.events("s1")
    next(events)
    assert not service.logged("request answered", path="/api/jobs/s1/events")
    events.close()  # type: ignore[attr-defined]  # a generator

    eventually(lambda: service.logged("request answered", path="/api/jobs/s1/events"), what="the line")


def test_a_path_cannot_write_a_line_of_its_own(service: Service) -> None:
    requests.get(f'{service.served.url}/%0a{{"event":"forged"}}%1b[31m', timeout=5)

    assert not service.logged("forged")
    assert service.logged("request answered", status=404)


def test_no_output_of_any_process_holds_a_secret(service: Service) -> None:
    """Debug level, everything that can fail does, and every command of an operator is run."""
    closed = f"http://127.0.0.1:{free_port()}"
    submit(service, "c1", f"{closed}/watch?v=1&token={TOKENS[0]}", f"{closed}/hook/{TOKENS[1]}?auth={TOKENS[1]}")
    requests.get(f"{service.served.url}/api/jobs", headers={"Authorization": f"Bearer {TOKENS[3]}"}, timeout=5)
    eventually(lambda: service.logged("a stage failed and is tried again", trace="trace-c1"), what="the stage")
    service.served.client.cancel("c1")
    eventually(lambda: service.logged("callback attempted", trace="trace-c1"), what="the callback")
    credentials = service.served.credentials
    logs = service.served.log.read_text() + service.worker.log.read_text()
    said, documents = run_commands(service)

    assert len(logs) > 5000
    for secret in (PASSWORD, OPENAI, credentials.api_key, credentials.signing_secret):
        assert_absent(secret, logs + said + documents)
    for token in TOKENS:  # a job's document shows the address that was submitted: it is what was asked for
        assert_absent(token, logs + said)
    assert_absent("v1,", logs)


def assert_absent(secret: str, text: str) -> None:
    place = text.find(secret)
    assert place < 0, text[max(0, place - 300) : place + 50]


def run_commands(service: Service) -> tuple[str, str]:
    """What the commands say, and the documents they print, with the credentials in the environment."""
    credentials = service.served.credentials
    environment = {
        **service.environment,
        "COOP_PUBLIC_URL": service.served.url,
        "COOP_API_KEY": credentials.api_key,
        "COOP_SIGNING_SECRET": credentials.signing_secret,
    }
    said, documents = "", ""
    for arguments in (["settings"], ["client", "list"], ["submit", "http://127.0.0.1:9/?v=2"], ["cancel", "nope"]):
        said += run(environment, "coop.cli", *arguments)[1]
    documents += run(environment, "coop.cli", "status", "c1")[1]
    wrong = {**environment, "COOP_REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0"}
    said += run(wrong, "coop.cli", "status")[1]
    for module in ("api.serve", "workers.run"):
        code, text = run({**wrong, "COOP_PORT": "none"}, module)
        assert code == 2
        said += text
    return said, documents


def run(environment: dict[str, str], module: str, *arguments: str) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_the_sdk_shows_no_secret_of_its_own(service: Service) -> None:
    coop: Coop = service.served.client

    assert service.served.credentials.api_key not in repr(coop) + repr(service.served.credentials)
