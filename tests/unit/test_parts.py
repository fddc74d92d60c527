"""How the parts are started."""

import sys
from collections.abc import Callable

import pytest

from coop.jobs import Stage
from coop.parts import Part, flower_part, gateway_part, worker_part
from coop.settings import Settings, SettingsError, read_settings

SECRETS = {"COOP_REDIS_URL": "redis://:hush@127.0.0.1:1/0", "COOP_FLOWER_BASIC_AUTH": "me:hush"}


def _settings(**environ: str) -> Settings:
    return read_settings({**SECRETS, **environ}, None)


@pytest.mark.parametrize("make", [gateway_part, worker_part, flower_part])
def test_no_secret_stands_in_the_arguments(make: Callable[[Settings], Part]) -> None:
    assert "hush" not in " ".join(make(_settings()).command)


def test_a_worker_is_told_its_stages_and_slots() -> None:
    part = worker_part(_settings(COOP_SLOTS="3"), (Stage.METADATA, Stage.DOWNLOAD))

    assert part.command == [sys.executable, "-m", "workers.run", "--slots", "3", "--stages", "metadata,download"]


def test_a_worker_without_stages_runs_all() -> None:
    assert "--stages" not in worker_part(_settings()).command


def test_the_gateways_port_is_the_one_that_was_chosen() -> None:
    assert gateway_part(_settings(COOP_PORT="8123")).environment()["COOP_PORT"] == "8123"


def test_flower_gets_its_password_and_address_by_the_environment() -> None:
    environ = flower_part(_settings(COOP_FLOWER_PORT="5999")).environ

    assert environ == {"FLOWER_ADDRESS": "127.0.0.1", "FLOWER_PORT": "5999", "FLOWER_BASIC_AUTH": "me:hush"}


def test_flower_never_runs_without_a_password() -> None:
    with pytest.raises(SettingsError, match="COOP_FLOWER_BASIC_AUTH is not set"):
        flower_part(read_settings({}, None))


@pytest.mark.parametrize("value", ["me", "me:", ":hush", "me:a,b", "me:a b"])
def test_a_password_that_flower_would_take_apart_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="COOP_FLOWER_BASIC_AUTH: .*USER:PASSWORD"):
        read_settings({"COOP_FLOWER_BASIC_AUTH": value}, None)
