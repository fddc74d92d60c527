"""The description of the API holds what the API does."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
from flask import Flask

from api.openapi import OPERATIONS, make_openapi
from coop.errors import PROBLEMS, JobError
from coop.job_store import JobStore
from coop.jobs import Stage
from tests.support.gateway import Caller, submission
from tests.support.jobs import advance_to, claimed

OPENAPI = make_openapi("https://coop.example.org")


def conforms(document: Any, model: str) -> bool:
    schema = {"$ref": f"#/components/schemas/{model}", "components": OPENAPI["components"]}
    jsonschema.validate(document, schema, jsonschema.Draft202012Validator)
    return True


def references(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*(references(value) for value in part.values()))
    return set().union(*(references(value) for value in part)) if isinstance(part, list) else set()


def test_every_route_is_described_and_every_description_is_a_route(app: Flask) -> None:
    routes = {
        (re.sub(r"<any\([^>]*\):form>", form, rule.rule).replace("<request_id>", "{requestId}"), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
        for form in (("txt", "srt", "vtt") if "form>" in rule.rule else ("",))
        if rule.endpoint != "docs.part"
    }

    assert {(operation.path, operation.method) for operation in OPERATIONS} == routes


def test_every_reference_leads_somewhere() -> None:
    for reference in references(OPENAPI):
        place: Any = OPENAPI
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_every_schema_is_a_valid_one() -> None:
    for schema in OPENAPI["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_operations_have_what_openapi_asks_for() -> None:
    ids = [operation["operationId"] for methods in OPENAPI["paths"].values() for operation in methods.values()]

    assert len(ids) == len(set(ids))
    for path, methods in OPENAPI["paths"].items():
        for operation in methods.values():
            named = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
            assert all(answer["description"] for answer in operation["responses"].values())
            assert all(
                name in OPENAPI["components"]["securitySchemes"] for need in operation["security"] for name in need
            )


def test_every_problem_of_the_contract_is_described() -> None:
    described = str(OPENAPI["paths"])

    # A method that is not for an address belongs to no operation.
    assert {code for code in PROBLEMS if f"`{code}`" not in described} == {"method_not_allowed"}


def test_what_is_sent_conforms_to_what_is_described(caller: Caller, store: JobStore) -> None:
    assert conforms(caller.submit("r1").get_json(), "Accepted")
    assert conforms(caller.submit("r2").get_json(), "Accepted")
    assert conforms(caller.submit("!").get_json(), "ProblemDocument")
    advance_to(store, Stage.DELIVER)
    store.fail(claimed(store, "r2"), JobError("bot_check"), {})

    assert conforms(caller.get("/api/jobs/r1").get_json(), "JobDocument")
    assert conforms(caller.get("/api/jobs/r2").get_json(), "JobDocument")
    assert conforms(caller.submit("r1", prefer="wait=9").get_json(), "SuccessDocument")
    assert conforms(caller.submit("r2", prefer="wait=9").get_json(), "FailureDocument")


def test_what_is_asked_conforms_to_what_is_described() -> None:
    assert conforms(submission(priority="low", timestamp="2026-11-22T09:48:20Z"), "SubmitRequest")
    with pytest.raises(jsonschema.ValidationError):
        conforms(submission(typo=1), "SubmitRequest")


def test_the_description_is_served_with_its_own_address(app: Flask) -> None:
    assert app.test_client().get("/openapi.json").get_json()["servers"] == [{"url": "http://localhost"}]


def test_the_page_loads_nothing_from_elsewhere(app: Flask) -> None:
    page = app.test_client().get("/docs")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.get_data(as_text=True))

    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert {"/docs/docs.css", "/docs/docs.js", "/openapi.json"} == set(loaded)
    assert all(app.test_client().get(path).status_code == 200 for path in loaded)
