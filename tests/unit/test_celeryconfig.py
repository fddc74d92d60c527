"""Celery ignores settings it does not know; these tests do not."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
from celery.app import defaults

from coop.jobs import STAGES, Priority


@pytest.fixture
def config() -> ModuleType:
    return importlib.import_module("celeryconfig")


def test_every_setting_is_one_that_celery_knows(config: ModuleType) -> None:
    names = {name for name, value in vars(config).items() if name.islower() and not name.startswith("_")}
    own = {"redis_url", "read_settings", "broker_of"}  # functions it calls

    known = {name for name, _ in defaults.flatten(defaults.NAMESPACES)}
    assert names - own - known - {"visibility_timeout"} == set()


def test_every_stage_has_a_queue(config: ModuleType) -> None:
    assert [queue.name for queue in config.task_queues] == [stage.queue for stage in STAGES]


def test_high_priority_is_what_redis_serves_first(config: ModuleType) -> None:
    steps = config.broker_transport_options["priority_steps"]

    assert [Priority.HIGH.message_priority, Priority.NORMAL.message_priority, Priority.LOW.message_priority] == steps


def test_nothing_but_json_is_taken(config: ModuleType) -> None:
    assert config.accept_content == ["json"]


def test_a_dead_connection_is_noticed_and_loses_no_message(config: ModuleType) -> None:
    options = config.broker_transport_options

    assert options["retry_on_timeout"] is True
    assert options["socket_timeout"] > 1
    assert options["health_check_interval"] > 0
