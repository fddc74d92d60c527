"""Folders of runs: private, gone afterwards, and swept when their process died."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.media import tree_of
from workers.workspaces import leave, sweep, workspace

DIES_AT_WORK = """
import os, sys
from pathlib import Path
from workers.workspaces import workspace
with workspace(Path(sys.argv[1])) as folder:
    (folder / "left-behind").write_text("x")
    os._exit(0)
"""


def test_a_workspace_is_empty_private_and_gone_with_all_that_is_left_in_it(tmp_path: Path) -> None:
    with workspace(tmp_path) as one, workspace(tmp_path) as other:
        (one / "file").write_text("x")
        assert (one != other, list(other.iterdir())) == (True, [])

    assert not one.exists()
    leave(tmp_path)
    assert tree_of(tmp_path) == {"work"}


def test_a_workspace_is_gone_also_when_its_stage_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), workspace(tmp_path) as folder:
        raise ZeroDivisionError

    assert not folder.exists()
    leave(tmp_path)


def test_what_a_dead_process_left_is_swept_and_what_a_live_one_uses_is_not(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES_AT_WORK, str(tmp_path)], check=True)
    assert [path.name for path in tmp_path.rglob("left-behind")] == ["left-behind"]

    with workspace(tmp_path) as mine:
        assert sweep(tmp_path) == 1
        assert mine.is_dir()
    assert not list(tmp_path.rglob("left-behind"))
    leave(tmp_path)
