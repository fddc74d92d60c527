"""The gateway for tests: the app in this process, or served for real in one of its own; and a caller that signs."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import requests
from flask import Flask
from werkzeug.test import TestResponse

from api.application import create_app
from api.services import Services
from coop.clients import ClientRegistry, Credentials
from coop.sdk import Coop
from coop.webhooks import sign_request
from tests.support.fleet import eventually
from tests.support.jobs import CLIENT, settings_of
from tests.support.redis_server import free_port

SUBMIT = "/api/process-video"
VIDEO = "https://video.example.org/watch?v=1"


def submission(request_id: str = "r1", **changes: Any) -> dict[str, Any]:
    return {"requestId": request_id, "videoUrl": VIDEO, **changes}


def problem(response: TestResponse, status: int, code: str) -> dict[str, Any]:
    """The problem document that the answer must be."""
    document: dict[str, Any] = response.get_json()
    found = (response.status_code, response.mimetype, document.get("code"), document.get("status"))
    assert found == (status, "application/problem+json", code, status), document
    return document


@dataclass
class Caller:
    """A registered client that asks the app in this process, signing what must be signed."""

    app: Flask
    credentials: Credentials
    address: str = "203.0.113.7"

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        signed: bool | None = None,
        headers: dict[str, str] | None = None,
    ) -> TestResponse:
        """`body`: bytes as they are, anything else as JSON. `signed=None`: where the contract asks for it."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.credentials.api_key}"}
        if signed or (signed is None and method in ("POST", "DELETE")):
            sent.update(self.signature(method, path, content))
        if content:
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        return self.app.test_client().open(
            path,
            method=method,
            data=content,
            headers={name: value for name, value in sent.items() if value},
            environ_base={"REMOTE_ADDR": self.address},
        )

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.send("GET", path, headers=headers)

    def submit(self, request_id: str = "r1", prefer: str = "", **changes: Any) -> TestResponse:
        return self.send("POST", SUBMIT, submission(request_id, **changes), headers={"Prefer": prefer})

    def signature(self, method: str, path: str, content: bytes) -> dict[str, str]:
        secret = self.credentials.signing_secret
        return sign_request(secret, method, path, content, f"msg_{secrets.token_hex(8)}", int(time.time()))


@contextmanager
def app_on(redis_url: str, **variables: str) -> Iterator[Flask]:
    """The app, with its threads and connections ended afterwards."""
    app = create_app(settings_of(redis_url, **variables))
    try:
        yield app
    finally:
        services_of(app).close()


def services_of(app: Flask) -> Services:
    found: Services = app.extensions["coop"]
    return found


def caller_on(app: Flask, name: str = CLIENT, **bounds: Any) -> Caller:
    """A newly registered client of the app."""
    return Caller(app, services_of(app).clients.add(name, **bounds))


@dataclass
class Served:
    """A gateway in a process of its own, as `coop gateway` starts it."""

    url: str
    process: subprocess.Popen[bytes]
    credentials: Credentials
    log: Path

    @property
    def client(self) -> Coop:
        return Coop(self.url, self.credentials.api_key, self.credentials.signing_secret)


@contextmanager
def served_on(
    redis_url: str, folder: Path, *, operator_url: str | None = None, authority: Path | None = None, **variables: str
) -> Iterator[Served]:
    """`operator_url`: who registers the client, where the gateway's own user may not; `authority`: who vouches for its
    certificate."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("COOP_")},
        "COOP_REDIS_URL": redis_url,
        "COOP_DATA_DIR": str(folder / "data"),
        "COOP_PORT": str(port),
        **{f"COOP_{name.upper()}": value for name, value in variables.items()},
    }
    with redis.Redis.from_url(operator_url or redis_url) as client:
        credentials = ClientRegistry(client).add(f"{CLIENT}-{secrets.token_hex(3)}")
    with (folder / "gateway.log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", "api.serve"], env=environment, stdout=log, stderr=log)
    scheme = "https" if authority else "http"
    served = Served(f"{scheme}://127.0.0.1:{port}", process, credentials, folder / "gateway.log")
    try:
        eventually(lambda: _answers(served.url, authority), what="the gateway's first answer")
        yield served
    finally:
        process.terminate()
        process.wait(timeout=10)


def _answers(url: str, authority: Path | None) -> bool:
    try:
        return requests.get(f"{url}/health/live", timeout=2, verify=str(authority) if authority else True).ok
    except requests.ConnectionError:
        return False
