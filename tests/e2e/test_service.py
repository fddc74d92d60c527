"""`coop up` for real: jobs over HTTP and from the command line, callbacks, the views of operators."""

import json
import subprocess
import sys
import uuid
from typing import Any

import jsonschema
import pytest
import requests

from coop.sdk import Coop
from tests.support.callback_receiver import CallbackReceiver
from tests.support.service import Service, environment
from tests.support.sites import Site


def _submit(service: Service, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = service.coop("submit", *arguments, check=False)
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def result(service: Service, sample_page: str) -> dict[str, Any]:
    code, document = _submit(service, sample_page, "--wait", "--request-id", "sample", "--ideas", "2")
    assert code == 0, document
    return document


def test_a_job_comes_back_to_its_caller_as_a_signed_callback(
    service: Service, sample_page: str, receiver: CallbackReceiver
) -> None:
    made = service.add_client(f"web-{uuid.uuid4().hex[:8]}", "--callback-host", "127.0.0.1")
    receiver.secret = made["signingSecret"]
    coop = Coop(service.addresses["gateway"], made["apiKey"], made["signingSecret"])

    coop.submit(sample_page, request_id="req_1", callback_url=receiver.url)
    callback = receiver.wait(60)

    assert callback.problem is None
    assert callback.document["success"] is True
    assert callback.document["result"] == coop.wait("req_1", 30)["result"]


def test_submit_prints_the_result_with_every_field_of_the_contract(result: dict[str, Any]) -> None:
    checked = subprocess.run(
        [sys.executable, "scripts/check_result.py"],
        input=json.dumps(result),
        text=True,
        capture_output=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr
    assert len(result["result"]["ideas"]) == 2


def test_the_speech_of_the_sample_is_understood(result: dict[str, Any]) -> None:
    heard = result["result"]["transcript"].lower()

    assert "why is your laptop so slow after only two years" in heard
    assert "keep one fifth of the drive empty" in heard


def test_what_is_shown_is_measured(result: dict[str, Any]) -> None:
    analysis = result["result"]["analysis"]

    assert analysis["lengthSeconds"] == pytest.approx(31, abs=0.5)
    assert 120 < result["result"]["wordsPerMinute"] < 200
    assert result["result"]["engines"] == {"transcribe": "local:tiny.en", "analyze": "offline", "ideas": "offline"}


def test_a_failed_job_is_printed_and_exits_with_1(service: Service, site: Site) -> None:
    code, document = _submit(service, site.url("/nothing-here"), "--wait")

    assert code == 1
    assert document["error"]["code"] == "video_unavailable"


def test_without_wait_submit_prints_the_acceptance(service: Service, sample_page: str, result: dict[str, Any]) -> None:
    code, document = _submit(service, sample_page, "--request-id", "sample", "--ideas", "2")

    assert code == 0
    assert (document["success"], document["requestId"]) == (True, "sample")


def test_progress_goes_to_stderr(service: Service, site: Site) -> None:
    done = service.coop("submit", site.url("/nothing-here"), "--wait", check=False)

    assert "  metadata  failed" in done.stderr.splitlines()


def test_status_shows_the_fleet_and_its_last_jobs(service: Service, result: dict[str, Any]) -> None:
    fleet = json.loads(service.coop("status").stdout)

    assert fleet["machines"] == 1
    assert fleet["slots"]["busy"] + fleet["slots"]["free"] >= 4
    assert ("local", "sample") in [(job["client"], job["requestId"]) for job in fleet["jobs"]]


def test_status_of_one_job_is_its_document(service: Service, result: dict[str, Any]) -> None:
    job = json.loads(service.coop("status", "sample").stdout)

    assert (job["status"], job["progress"]) == ("succeeded", 1)
    assert job["result"] == result["result"]


def test_a_failed_job_can_be_driven_again(service: Service, site: Site) -> None:
    _submit(service, site.url("/later"), "--wait", "--request-id", "later")

    again = json.loads(service.coop("retry", "later").stdout)

    assert again["run"] > 1
    assert again["status"] in ("queued", "running", "failed")


def test_a_job_that_has_ended_cannot_be_cancelled(service: Service, result: dict[str, Any]) -> None:
    done = service.coop("cancel", "sample", check=False)

    assert done.returncode == 1
    assert done.stderr == "Error: The job has ended\n"


def test_a_request_id_of_several_clients_asks_whose(service: Service, sample_page: str) -> None:
    names = [f"twin-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    for name in names:
        made = service.add_client(name)
        Coop(service.addresses["gateway"], made["apiKey"], made["signingSecret"]).submit(sample_page, request_id="twin")

    asked = service.coop("status", "twin", check=False)
    cancelled = service.coop("cancel", "twin", "--client", names[0])

    assert asked.returncode == 1
    assert "add --client NAME" in asked.stderr
    assert json.loads(cancelled.stdout)["status"] == "cancelled"


def test_a_rotated_client_goes_on_with_either_key_and_a_removed_one_with_none(service: Service) -> None:
    name = f"web-{uuid.uuid4().hex[:8]}"
    old = service.add_client(name)
    new = json.loads(service.coop("client", "rotate", name).stdout)
    jobs = service.addresses["gateway"] + "/api/jobs"

    def answer(key: str) -> int:
        return requests.get(jobs, headers={"Authorization": f"Bearer {key}"}, timeout=10).status_code

    assert [answer(old["apiKey"]), answer(new["apiKey"])] == [200, 200]
    service.coop("client", "remove", name)
    assert [answer(old["apiKey"]), answer(new["apiKey"])] == [401, 401]


def test_no_list_of_clients_shows_a_secret(service: Service) -> None:
    made = service.add_client(f"web-{uuid.uuid4().hex[:8]}")

    listed = service.coop("client", "list").stdout

    assert made["serverId"] in listed
    assert made["apiKey"] not in listed
    assert made["signingSecret"] not in listed


def test_flower_asks_for_the_password_that_was_printed(service: Service) -> None:
    url, _, password = service.addresses["flower"].partition(" ")

    assert requests.get(f"{url}/api/workers", timeout=10).status_code == 401
    assert requests.get(f"{url}/workers", auth=tuple(password.split(":")), timeout=10).status_code == 200  # type: ignore[arg-type]


def test_a_second_coop_up_on_the_same_folder_is_told_so(service: Service) -> None:
    done = service.coop("up", "--port", "0", check=False)

    assert done.returncode == 1
    assert done.stderr.startswith("Error: Another `coop up` runs on ")


def test_a_port_in_use_is_named(service: Service) -> None:
    port = service.addresses["gateway"].rpartition(":")[2]
    done = service.coop("up", "--port", port, check=False)

    assert done.returncode == 1
    assert f"127.0.0.1:{port} cannot be used" in done.stderr
    assert "set --port or COOP_PORT" in done.stderr


def test_the_health_check_of_the_workers_container_is_answered(service: Service) -> None:
    celery = [sys.executable, "-m", "celery", "-A", "coop.queue", "inspect", "ping", "--timeout", "5", "--json"]
    done = subprocess.run(
        celery, cwd=service.folder, env=environment(service.folder), capture_output=True, text=True, check=True
    )

    assert list(json.loads(done.stdout).values()) == [{"ok": "pong"}]


def test_the_document_of_the_api_is_served(service: Service) -> None:
    document = requests.get(service.addresses["gateway"] + "/openapi.json", timeout=10).json()

    jsonschema.validate(document, {"required": ["openapi", "paths"]})
    assert "/api/process-video" in document["paths"]
