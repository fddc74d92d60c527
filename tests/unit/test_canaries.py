from __future__ import annotations

import base64
import os

import pytest

from coop.clients import _new_credentials
from coop.webhooks import SIGNATURE, sign_request
from tests.support.canaries import canaries_in

MADE = _new_credentials("shop")
SIGNED = sign_request(MADE.signing_secret, "POST", "/", b"", "m", 1)[SIGNATURE]


@pytest.mark.parametrize("secret", [MADE.api_key, MADE.signing_secret, SIGNED], ids=["key", "secret", "signature"])
@pytest.mark.parametrize("line", ["{}", '{{"key": "{}"}}', "Bearer {}", "key={};", "\x1b[35m{}\x1b[0m"])
def test_what_is_made_is_found_wherever_it_stands(line: str, secret: str) -> None:
    assert len(canaries_in(line.format(secret))) == 1


@pytest.mark.parametrize("text", ["coop_jobs_total", "coop_guess", "whsec_BASE64", "v1,BASE64", "coop_…"])
def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert canaries_in(text) == []
    assert canaries_in(base64.b64encode(os.urandom(60)).decode()) == []
