"""The doctor with a real Redis and the tools of this machine."""

import os
from pathlib import Path

import pytest

from coop.doctor import Finding, examine
from coop.embedded_redis import EmbeddedRedis
from coop.settings import read_settings
from tests.support.redis_server import RedisServer
from workers.engines.ffmpeg import find_ffmpeg


def _findings(**environ: str) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(read_settings(environ, None))}


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finding]:
    data_dir = tmp_path_factory.mktemp("data")
    with EmbeddedRedis(data_dir):
        return _findings(COOP_DATA_DIR=str(data_dir))


@pytest.mark.parametrize("check", ["redis", "redis durability", "clock", "ffmpeg", "yt-dlp", "javascript", "analyzer"])
def test_what_the_project_installs_is_found(examined: dict[str, Finding], check: str) -> None:
    # An old yt-dlp is a warning, and this checkout may be old one day.
    assert examined[check].verdict == "ok" or (check == "yt-dlp" and examined[check].verdict == "warn")


def test_the_ffmpeg_that_is_looked_at_is_the_one_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_path = tmp_path / "ffmpeg"
    on_the_path.write_text("#!/bin/sh\necho ffmpeg version 0\n")
    on_the_path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    assert find_ffmpeg(None) in _findings(COOP_DATA_DIR=str(tmp_path))["ffmpeg"].found


def test_what_is_not_well_comes_with_advice(examined: dict[str, Finding]) -> None:
    assert [finding for finding in examined.values() if finding.verdict != "ok" and not finding.advice] == []


def test_a_redis_that_cannot_be_reached_is_a_failure(tmp_path: Path) -> None:
    finding = _findings(COOP_REDIS_URL="redis://127.0.0.1:1/0", COOP_DATA_DIR=str(tmp_path))["redis"]

    assert finding.verdict == "fail"


@pytest.mark.parametrize(
    ("options", "verdict", "advice"),
    [
        (("--appendfsync", "everysec"), "warn", "set appendfsync always"),
        (("--appendonly", "no"), "fail", "set appendonly yes"),
        (("--maxmemory-policy", "allkeys-lru"), "fail", "set maxmemory-policy noeviction"),
    ],
)
def test_a_redis_that_may_lose_jobs_is_noticed(
    tmp_path: Path, options: tuple[str, str], verdict: str, advice: str
) -> None:
    with RedisServer(tmp_path / "redis", *options) as server:
        finding = _findings(COOP_REDIS_URL=server.url, COOP_DATA_DIR=str(tmp_path))["redis durability"]

    assert (finding.verdict, finding.advice) == (verdict, advice)
