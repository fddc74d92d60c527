"""All ways out, tried in an internet of the test's own: the production rules, the system's resolver, a DNS server.

Every address of that internet answers, so whatever got past the rules would have arrived; the listener says where.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.security.internet_attacks import INSIDE, PUBLIC, PUBLIC_6
from tests.support.small_internet import can_make_one, run_in_small_internet

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        not can_make_one(), reason="no network namespaces here; tests/integration have the same in part"
    ),
]

Report = dict[str, dict[str, Any]]
LIBRARIES = ["CurlCFFI", "Requests", "Urllib", "Websockets"]


@pytest.fixture(scope="module")
def report() -> Report:
    done = run_in_small_internet("-m", "tests.security.internet_attacks", seconds=380)
    assert done.returncode == 0, done.stderr[-3000:]
    found: Report = json.loads(done.stdout.splitlines()[-1])
    return found


def outcomes(report: Report, kind: str) -> dict[str, Any]:
    return {name.removeprefix(kind): row["outcome"] for name, row in report.items() if name.startswith(kind)}


def test_no_attack_reached_an_address_inside(report: Report) -> None:
    reached = {address for row in report.values() for address, _path in row["reached"]}

    assert reached == {PUBLIC, PUBLIC_6}
    assert len(report) > 150


def test_nothing_inside_was_asked_for_at_a_public_address_either(report: Report) -> None:
    paths = {path for row in report.values() for _address, path in row["reached"]}

    assert not any("secret" in path for path in paths)


@pytest.mark.parametrize("host", INSIDE)
def test_an_address_inside_is_refused_as_a_video_as_a_redirect_and_as_a_callback(host: str, report: Report) -> None:
    assert report[f"video: at {host}"]["outcome"] == "url_not_allowed"
    assert report[f"video: redirect to {host}"]["outcome"] == "url_not_allowed"
    answer = report[f"callback: at {host}"]["outcome"]
    assert (answer["status"], answer["error"].split(":")[0]) == (None, "url_not_allowed")


def test_a_redirect_to_another_scheme_is_not_followed(report: Report) -> None:
    schemes = {
        name: found for name, found in outcomes(report, "video: redirect to ").items() if ":/" in name or "," in name
    }

    assert len(schemes) == 4
    assert set(schemes.values()) == {"source_error"}


@pytest.mark.parametrize(
    "what",
    [
        *("a video element", "a source element", "og:video", "a twitter player", "JSON-LD", "a meta refresh"),
        *("a player's script", "HLS, a segment", "HLS, a key", "HLS, a map", "HLS, a segment by address"),
        *("HLS, a segment of a file", "HLS, a variant", "DASH, a base", "DASH, a template", "DASH, a list"),
        *("a name that changes", "a name that is inside first", "at another port"),
    ],
)
def test_a_page_that_leads_inside_ends_the_job(what: str, report: Report) -> None:
    assert report[f"video: {what}"]["outcome"] == "url_not_allowed"


@pytest.mark.parametrize("what", ["captions", "thumbnails", "a name with one address inside"])
def test_what_is_not_needed_from_inside_is_left(what: str, report: Report) -> None:
    assert report[f"video: {what}"]["outcome"] == {"captions": False}


def test_a_name_that_changes_its_answer_was_reached_where_it_was_judged(report: Report) -> None:
    assert report["callback: a name that changes"]["outcome"]["status"] == 204
    assert report["callback: the same name again"]["outcome"]["error"].startswith("url_not_allowed")
    assert report["callback: a name with one address inside"]["reached"] == [[PUBLIC, "/hook"]]


@pytest.mark.parametrize("what", ["video: nothing bad", "video: nothing bad over IPv6", "callback: nothing bad"])
def test_what_is_allowed_arrives(what: str, report: Report) -> None:
    assert report[what]["reached"]
    assert report[what]["outcome"] in ({"captions": False}, {"status": 204, "error": None, "soon": True})


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_callback_follows_no_redirect(code: int, report: Report) -> None:
    assert report[f"callback: redirect {code}"]["outcome"]["status"] == code


@pytest.mark.parametrize("what", ["an answer without end", "an answer that drips", "a head that never ends"])
def test_a_callbacks_answer_is_bounded(what: str, report: Report) -> None:
    assert report[f"callback: {what}"]["outcome"]["soon"] is True


def test_a_name_server_that_is_silent_does_not_outlast_the_deadline(report: Report) -> None:
    assert report["callback: a name without an answer"]["outcome"] == {
        "status": None,
        "error": "no answer in time",
        "soon": True,
    }


def test_every_http_library_of_yt_dlp_is_tried(report: Report) -> None:
    assert report["libraries"]["outcome"] == LIBRARIES


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("target", ["inside", "loopback", "a name", "a redirect"])
def test_no_library_gets_past_the_proxy_whatever_the_environment_says(
    library: str, target: str, report: Report
) -> None:
    assert "error" in report[f"{library}: {target}"]["outcome"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_without_its_proxy_no_library_reaches_anything(library: str, report: Report) -> None:
    assert "error" in report[f"{library}: proxy dead"]["outcome"]
    assert report[f"{library}: proxy dead"]["reached"] == []


@pytest.mark.parametrize("library", [name for name in LIBRARIES if name != "Websockets"])
def test_through_the_proxy_each_library_reaches_the_public(library: str, report: Report) -> None:
    assert report[f"{library}: nothing bad"]["outcome"] == {"body": "public"}


@pytest.mark.parametrize("options", ["--no-npm --cached-only", "--cached-only"])
def test_a_script_of_a_site_can_do_nothing_but_compute(options: str, report: Report) -> None:
    row = report[f"script: {options}"]

    assert len(row["outcome"]) == 12
    assert "done" not in row["outcome"].values()
    assert row["reached"] == []
