"""What makes a request the same request, also for the gateway of the next version."""

from typing import Any

import pytest
from pydantic import ConfigDict, Field

from api.routes.submit import fingerprint_of
from coop.documents import SubmitRequest
from coop.jobs import JobOptions

PLAIN = {"requestId": "r1", "videoUrl": "https://video.example.org/1"}
FULL = {
    **PLAIN,
    "priority": "high",
    "serverInfo": {"serverId": "web-1", "callbackUrl": "https://example.org/back"},
    "options": {"language": "en", "ideas": 5, "captions": "never"},
}


class NextOptions(JobOptions):
    model_config = ConfigDict(extra="forbid")

    translate: str | None = None


class NextRequest(SubmitRequest):
    """The request of a later version, with choices that did not exist before."""

    region: str = "anywhere"
    options: NextOptions = Field(default_factory=NextOptions)


def _fingerprint(body: dict[str, Any], kind: type[SubmitRequest] = SubmitRequest) -> str:
    return fingerprint_of(kind.model_validate(body))


@pytest.mark.parametrize(
    ("body", "digest"),
    [
        (PLAIN, "ca112135c6bcbe7556f43a86154874a17af8198557b0484cc661db931038f72d"),
        (FULL, "7498c7f3c486ec297d1e968f84a7783298963b3db64aa45eb5d047fadb180911"),
    ],
    ids=["plain", "full"],
)
def test_the_fingerprint_of_a_request_stays_what_it_was(body: dict[str, Any], digest: str) -> None:
    assert _fingerprint(body) == digest


@pytest.mark.parametrize("body", [PLAIN, FULL], ids=["plain", "full"])
def test_a_field_of_the_next_version_leaves_replays_alone(body: dict[str, Any]) -> None:
    assert _fingerprint(body, NextRequest) == _fingerprint(body)


@pytest.mark.parametrize(
    "more",
    [
        {"priority": "normal"},
        {"options": {}},
        {"options": {"ideas": 3, "captions": "prefer"}},
        {"serverInfo": {}},
        {"apiKey": "k"},
        {"timestamp": "2026-11-22T09:48:20Z"},
    ],
)
def test_a_default_that_is_spelled_out_asks_for_the_same(more: dict[str, Any]) -> None:
    assert _fingerprint({**PLAIN, **more}) == _fingerprint(PLAIN)


@pytest.mark.parametrize("more", [{"priority": "low"}, {"options": {"ideas": 4}}])
def test_another_choice_is_another_request(more: dict[str, Any]) -> None:
    assert _fingerprint({**PLAIN, **more}) != _fingerprint(PLAIN)
