"""Addresses that may not be fetched, or posted to, are refused before anything is kept."""

from __future__ import annotations

import pytest

from tests.support.gateway import Caller, caller_on, problem

REFUSED = [
    *("file:///etc/passwd", "ftp://example.org/v", "data:text/html,x", "javascript:alert(1)", "gopher://example.org/"),
    *(
        "HTTP+UNIX://%2Fvar%2Frun%2Fdocker.sock/",
        "//example.org/v",
        "example.org/v",
        "https:example.org",
        "https://",
        "http:///v",
    ),
    *(
        "https://user:pass@example.org/",
        "https://user@example.org/",
        "https://@example.org/",
        "https://example.org@127.0.0.1/",
    ),
    *("https://example.org\\@127.0.0.1/", "https://127.0.0.1\\.example.org/", "https:\\\\127.0.0.1/"),
    *(
        "https://exam\tple.org/",
        "https://example.org/\n",
        "\nhttps://example.org/",
        " https://example.org/",
        "https://example.org/a b",
    ),
    *("https://example.org/\x00", "https://example.org/\x7f", "https://example.org/\x85"),
    *(
        "http://127.0.0.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
    ),
    *(
        "http://0177.0.0.1/",
        "http://017700000001/",
        "http://0/",
        "http://0.0.0.0/",
        "http://127.0.0.1./",
        "http://127.0.0.1:80/",
    ),
    *(
        "http://[::]/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[0:0:0:0:0:0:0:1]/",
    ),
    *(
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b::10.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://[2001::1]/",
        "http://[fe80::1]/",
    ),
    *("http://[fe80::1%25eth0]/", "http://[fc00::1]/", "http://[ff02::1]/", "http://[::127.0.0.1]/", "http://[::1"),
    *(
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://198.18.0.1/",
        "http://224.0.0.1/",
    ),
    *(
        "http://255.255.255.255/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0xa9fea9fe/",
        "http://2852039166/",
    ),
    *("http://168.63.129.16/", "http://192.0.0.192/", "http://240.0.0.1/", "http://[fd00:ec2::254]/"),
    *("http://metadata.google.internal/", "http://metadata.google.internal./", "http://METADATA.google.INTERNAL/"),
    *(
        "http://localhost/",
        "http://LOCALHOST./",
        "http://a.localhost/",
        "http://router.lan/",
        "http://nas.local/",
        "http://intranet/",
    ),
    *(
        "http://x.home.arpa/",
        "http://a.onion/",
        "http://①②⑦.⓪.⓪.①/",
        "http://１２７.0.0.1/",
        "http://127。0。0。1/",
        "http://ⓛocalhost/",
    ),
    *(
        "http://loc\u00adalhost/",
        "http://example.org:22/",
        "http://example.org:6379/",
        "http://example.org:0/",
        "http://example.org:99999/",
    ),
    *(
        "http://example.org:-1/",
        "http://example.org:8o/",
        "http://.example.org/",
        "http://exa mple.org/",
        "http://a..b.example/",
    ),
    *(
        "http://example.org%2f@127.0.0.1/",
        "http://%31%32%37.0.0.1/",
        "http://256.256.256.256/",
        "http://1.2.3.4.5/",
        "http://0x/",
    ),
]
TAKEN = [
    "https://www.youtube.com/shorts/dJd3wLG65yc",
    "https://video.example.org/watch?v=1#t=30",
    "http://video.example.org:8080/v",
    "https://bücher.example/v",
    "https://xn--bcher-kva.example/v",
    "https://video.example.org./v",
    "https://video.example.org/%2e%2e/%00",
    "HTTPS://VIDEO.EXAMPLE.ORG/v",
    "https://93.184.216.34/v",
    "https://[2606:4700::1111]/v",
]


def ids(url: str) -> str:
    return url.encode("unicode_escape").decode()


@pytest.mark.parametrize("url", REFUSED, ids=ids)
def test_a_video_url_that_leads_inside_is_refused(caller: Caller, url: str) -> None:
    told = problem(caller.submit("r1", videoUrl=url), 422, "url_not_allowed")

    assert told["errors"][0]["field"] == "videoUrl"
    problem(caller.get("/api/jobs/r1"), 404, "not_found")


@pytest.mark.parametrize("url", REFUSED, ids=ids)
def test_a_callback_url_that_leads_inside_is_refused(caller: Caller, url: str) -> None:
    told = problem(caller.submit("r1", serverInfo={"callbackUrl": url}), 422, "url_not_allowed")

    assert told["errors"][0]["field"] == "serverInfo.callbackUrl"


@pytest.mark.parametrize("url", TAKEN, ids=ids)
def test_a_public_url_is_taken(caller: Caller, url: str) -> None:
    assert caller.submit("r1", videoUrl=url, serverInfo={"callbackUrl": url}).status_code == 202


@pytest.mark.parametrize(
    "url",
    ["https://example.org.evil.example/cb", "https://evil.example/?example.org", "https://еxample.org/cb"],
    ids=ids,
)
def test_a_look_alike_of_a_bound_callback_host_is_refused(caller: Caller, url: str) -> None:
    bound = caller_on(caller.app, "bound", callback_hosts=["example.org"])

    problem(bound.submit("r1", serverInfo={"callbackUrl": url}), 403, "callback_host_not_allowed")


def test_a_refused_url_is_not_repeated_in_the_answer(caller: Caller) -> None:
    told = caller.submit("r1", videoUrl="http://127.0.0.1/?token=planted-token").get_data(as_text=True)

    assert "planted-token" not in told
