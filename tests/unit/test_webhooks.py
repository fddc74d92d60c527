from __future__ import annotations

import base64
import hashlib
import hmac
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from coop.errors import Problem
from coop.webhooks import InvalidSignature, sign_callback, sign_request, verify_callback, verify_request

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"x" * 32).decode()
NOW = 1_795_000_000
BODY = '{"ä":1}'.encode()
PATH = "/api/process-video"


def signed(**changes: str) -> dict[str, str]:
    return {**sign_request(SECRET, "POST", PATH, BODY, "msg_1", NOW), **changes}


def code_of(headers: dict[str, str], *, body: bytes = BODY, path: str = PATH, method: str = "POST") -> str:
    with pytest.raises(Problem) as refused:
        verify_request([SECRET], method, path, headers, body, NOW)
    return refused.value.code


def test_what_was_signed_verifies() -> None:
    assert verify_request([SECRET], "POST", PATH, signed(), BODY, NOW) == "msg_1"


def test_the_signature_is_the_one_of_the_contract() -> None:
    text = f"msg_1.{NOW}.POST {PATH}\n".encode() + BODY
    expected = base64.b64encode(hmac.new(b"k" * 32, text, hashlib.sha256).digest()).decode()

    assert signed()["webhook-signature"] == f"v1,{expected}"


def test_any_live_secret_will_do() -> None:
    assert verify_request([OTHER, SECRET], "POST", PATH, signed(), BODY, NOW)


def test_one_of_several_signatures_is_enough() -> None:
    headers = signed()
    headers["webhook-signature"] = f"v1a,AAAA v1,AAAA {headers['webhook-signature']}"

    assert verify_request([SECRET], "POST", PATH, headers, BODY, NOW)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_a_missing_signature(name: str) -> None:
    assert code_of(signed(**{name: ""})) == "missing_signature"


@pytest.mark.parametrize("off", [-301, 301])
def test_a_timestamp_too_far_off_is_stale(off: int) -> None:
    assert code_of(sign_request(SECRET, "POST", PATH, BODY, "msg_1", NOW + off)) == "stale_timestamp"


@pytest.mark.parametrize("off", [-300, 300])
def test_a_timestamp_at_the_bound_is_taken(off: int) -> None:
    headers = sign_request(SECRET, "POST", PATH, BODY, "msg_1", NOW + off)

    assert verify_request([SECRET], "POST", PATH, headers, BODY, NOW)


@pytest.mark.parametrize(
    "timestamp", ["nan", "inf", f"{NOW}.0", f" {NOW}", "-1", "1e9", "١٧٩٥٠٠٠٠٠٠", "9" * 40, f"0{NOW}"]
)
def test_a_timestamp_that_is_no_whole_number_is_invalid(timestamp: str) -> None:
    assert code_of(signed(**{"webhook-timestamp": timestamp})) == "invalid_signature"


@pytest.mark.parametrize("signature", ["v1", "v1,", ",", "v1,a,b", "v1,!!", "v2,AAAA", "ä", " ", "v1,AAAA,v1,BBBB"])
def test_a_malformed_signature_is_invalid(signature: str) -> None:
    assert code_of(signed(**{"webhook-signature": signature})) == "invalid_signature"


@pytest.mark.parametrize("message_id", ["a" * 257, "ä", "a\nb"])
def test_an_id_that_could_not_be_kept_is_invalid(message_id: str) -> None:
    assert code_of(signed(**{"webhook-id": message_id})) == "invalid_signature"


def test_a_signature_cannot_be_carried_elsewhere() -> None:
    assert code_of(signed(), path="/api/jobs/r1/retry") == "invalid_signature"
    assert code_of(signed(), method="DELETE") == "invalid_signature"
    assert code_of(signed(), body=BODY + b" ") == "invalid_signature"
    assert code_of(signed(**{"webhook-id": "msg_2"})) == "invalid_signature"


def test_a_body_that_is_no_text_is_malformed() -> None:
    assert code_of(signed(), body=b"\xff") == "malformed_json"


@given(headers=st.dictionaries(st.sampled_from(list(signed())), st.text()), body=st.binary())
def test_nothing_but_problems_comes_of_nonsense(headers: dict[str, str], body: bytes) -> None:
    assert code_of({**signed(), **headers, "webhook-signature": "v1,AAAA"}, body=body)


def test_any_library_of_the_specification_verifies_a_callback() -> None:
    now = int(time.time())
    headers = sign_callback([OTHER, SECRET], "msg_1", now, BODY)

    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(BODY, headers) == {"ä": 1}


def test_a_callback_is_verified_and_read() -> None:
    headers = sign_callback([SECRET], "msg_1", int(time.time()), BODY)

    assert verify_callback(SECRET, headers, BODY) == {"ä": 1}


@pytest.mark.parametrize(
    ("change", "body"),
    [({"webhook-signature": "v1"}, BODY), ({"webhook-signature": "v1,a,b"}, BODY), ({}, b"{}"), ({}, b"\xff")],
)
def test_a_callback_from_elsewhere_is_refused(change: dict[str, str], body: bytes) -> None:
    headers = {**sign_callback([SECRET], "msg_1", int(time.time()), BODY), **change}

    with pytest.raises(InvalidSignature):
        verify_callback(SECRET, headers, body)
