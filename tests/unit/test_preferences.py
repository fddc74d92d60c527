from __future__ import annotations

import pytest
from flask import Flask

from api.preferences import preferred_wait_seconds
from api.request import ApiRequest


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        (["wait=10"], 10),
        (["respond-async, WAIT = 10"], 10),
        (["respond-async", "wait=10"], 10),
        (['wait="10"; foo=bar'], 10),
        (["wait=0"], 0),
        (["wait=999"], 60),
        (["wait=" + "9" * 5000], 60),
        (["wait"], None),
        (["wait=soon"], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=٣"], None),
    ],
    ids=str,
)
def test_a_preference_is_read_as_the_rfc_says(headers: list[str], seconds: int | None) -> None:
    sent = [("Prefer", header) for header in headers]
    app = Flask("test")
    app.request_class = ApiRequest
    with app.test_request_context(headers=sent):
        assert preferred_wait_seconds(longest=60) == seconds
