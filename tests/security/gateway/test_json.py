"""Bodies that two parsers could read differently, or that are work for nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.bodies import BODY_LIMIT_BYTES, DEPTH_LIMIT
from tests.support.gateway import SUBMIT, VIDEO, Caller, problem, submission


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        json.dumps(submission()).encode()[:-1] + b',"requestId":"r2"}',
        b'{"options":{"ideas":1,"ideas":2},"requestId":"r1","videoUrl":"https://a.example/"}',
        b'{"options":{"ideas":NaN}}',
        b'{"options":{"ideas":Infinity}}',
        b'{"options":{"ideas":-Infinity}}',
        nested(10_000),
        nested(30_000),
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        nested(DEPTH_LIMIT + 1),
        b"{'requestId':'r1'}",
        b'{"requestId":"r1",}',
        b'{"requestId":"r1"} {}',
        b"// a comment\n{}",
        b'{"requestId":"\\ud800"}',
        b'{"requestId":"a\x00b"}',
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_not_strict_json_is_malformed(caller: Caller, body: bytes) -> None:
    problem(caller.send("POST", SUBMIT, body, headers={"Content-Type": "application/json"}), 400, "malformed_json")


@pytest.mark.parametrize(
    "body", [b"\xff\xfe{}", json.dumps(submission()).encode("utf-16"), b'{"videoUrl":"\xc3\x28"}', b"\x80"]
)
def test_what_is_not_utf_8_is_malformed_with_any_signature(caller: Caller, body: bytes) -> None:
    """No text of it could have been signed."""
    headers = {"Content-Type": "application/json", **caller.signature("POST", SUBMIT, b"{}")}

    problem(caller.send("POST", SUBMIT, body, headers=headers, signed=False), 400, "malformed_json")


@pytest.mark.parametrize("body", [[], [submission()], "text", 7, None, True, nested(DEPTH_LIMIT)], ids=str)
def test_what_is_no_object_does_not_fit(caller: Caller, body: Any) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    problem(caller.send("POST", SUBMIT, content), 422, "invalid_request")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("requestId", "x" * 60_000),
        ("requestId", 7),
        ("requestId", ["r1"]),
        ("videoUrl", "https://video.example.org/" + "x" * 60_000),
        ("videoUrl", {"$ne": ""}),
        ("priority", "urgent"),
        ("priority", 1),
        ("timestamp", 1692123456),
        ("timestamp", "yesterday"),
        ("timestamp", "2" * 60_000),
        ("serverInfo", {"serverId": "x" * 129}),
        ("serverInfo", {"callbackUrl": "x" * 2049}),
        ("serverInfo", {"callbackUrl": ""}),
        ("serverInfo", []),
        ("options", {"language": "en-" + "abcdefgh-" * 1000 + "a"}),
        ("options", {"language": "../en"}),
        ("options", {"ideas": 11}),
        ("options", {"ideas": 1e308}),
        ("options", {"ideas": 10**4000}),
        ("options", {"ideas": "3"}),
        ("options", {"ideas": 2.5}),
        ("options", {"ideas": True}),
        ("options", {"captions": "always"}),
        ("options", {"__proto__": {}}),
        ("extra", 1),
        ("request_id", "r1"),
        ("video_url", VIDEO),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_field_that_does_not_fit_is_named_and_not_repeated(caller: Caller, field: str, value: Any) -> None:
    told = problem(caller.send("POST", SUBMIT, {**submission(), field: value}), 422, "invalid_request")

    assert told["errors"][0]["field"].partition(".")[0] == field
    assert len(json.dumps(told)) < 2000


@pytest.mark.parametrize("size", [BODY_LIMIT_BYTES + 1, 10 * BODY_LIMIT_BYTES])
def test_a_body_has_a_size(caller: Caller, size: int) -> None:
    problem(caller.send("POST", SUBMIT, b" " * size), 413, "body_too_large")


def test_the_largest_body_is_still_read(caller: Caller) -> None:
    body = json.dumps(submission()).encode()

    assert caller.send("POST", SUBMIT, body.ljust(BODY_LIMIT_BYTES)).status_code == 202


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"])
def test_only_json_is_read(caller: Caller, kind: str) -> None:
    """So that no form of a page of another origin is taken for a request."""
    refused = caller.send("POST", SUBMIT, json.dumps(submission()).encode(), headers={"Content-Type": kind})

    problem(refused, 415, "unsupported_media_type")
