"""What `coop up` says of its parts."""

from pathlib import Path

import pytest
import requests

from coop.commands import up
from coop.settings import read_settings


@pytest.mark.parametrize(("own", "is_told"), [("me:hush", False), (None, True)], ids=["the operator's", "made up"])
def test_only_a_password_that_was_made_up_is_printed(
    own: str | None, is_told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"COOP_DATA_DIR": str(tmp_path), **({"COOP_FLOWER_BASIC_AUTH": own} if own else {})}
    given = read_settings(environ, None)
    settings = up._prepare(given, 0, None)
    answer = requests.Response()
    answer.status_code = 200
    monkeypatch.setattr(requests, "get", lambda *_, **__: answer)

    line = up._flower(settings, tell_password=given.flower_basic_auth is None).address()

    assert settings.flower_basic_auth
    assert line
    assert (settings.flower_basic_auth.get_secret_value() in line) is is_told
