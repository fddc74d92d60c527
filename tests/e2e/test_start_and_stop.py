"""`coop up` from its start to its end."""

import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.service import running_service


@pytest.mark.skipif(sys.platform == "win32", reason="there it is CTRL_BREAK")
def test_a_stop_ends_every_process_and_the_next_start_finds_the_clients(tmp_path: Path) -> None:
    with running_service(tmp_path) as first:
        made = first.add_client("web-1")
        tree = psutil.Process(first.process.pid).children(recursive=True)
        first.process.send_signal(signal.SIGTERM)
        code = first.process.wait(60)

    assert code == 0
    assert [process for process in tree if process.is_running()] == []
    assert not (tmp_path / "redis.json").exists()
    with running_service(tmp_path) as second:
        assert made["serverId"] in second.coop("client", "list").stdout


@pytest.mark.skipif(sys.platform == "win32", reason="no server is carried for Windows")
def test_after_a_kill_the_next_start_clears_up_and_runs(tmp_path: Path) -> None:
    with running_service(tmp_path) as first:
        first.add_client("web-1")
        left = psutil.Process(first.process.pid).children(recursive=True)
        first.process.kill()

    with running_service(tmp_path) as second:
        assert "web-1" in second.coop("client", "list").stdout
        assert [process for process in left if process.is_running()] == []
