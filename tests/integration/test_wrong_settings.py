"""A worker whose settings make every job fail ends, and is not started again and again."""

from pathlib import Path

import pytest

from coop.jobs import Stage
from coop.processes import EXIT_SETTINGS
from tests.support.fleet import Worker
from tests.support.redis_server import RedisServer


@pytest.mark.parametrize(
    ("variable", "value"),
    [("whisper_device", "gpuu"), ("prices_file", "none.json"), ("sites", "no-such-site")],
)
def test_a_worker_ends_and_names_the_setting(
    variable: str, value: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    options = {"supervised": True, "app": "workers.app", "stages": [Stage.METADATA]}
    worker = Worker(redis_server.url, tmp_path, **options, **{variable: value}).start()  # type: ignore[arg-type]
    try:
        code = worker.wait(60)
    finally:
        worker.stop()

    assert code == EXIT_SETTINGS
    assert f"COOP_{variable.upper()}" in worker.log.read_text()
