"""The examples of `docs/api.md`, run as they stand there against a served gateway."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import Served, served_on
from tests.support.redis_server import RedisServer

DOCS = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
DENO = shutil.which("deno", path=str(Path(sys.executable).parent)) or "deno"
RUNNERS = {
    "bash": ["bash"],
    "python": [sys.executable],
    "js": [DENO, "run", "--quiet", "--no-config", "--allow-net", "--allow-env"],
    "php": ["php"],
}


@pytest.fixture(scope="module")
def served(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served_on(redis_server.url, tmp_path_factory.mktemp("examples")) as gateway:
        yield gateway


@pytest.mark.parametrize("language", RUNNERS)
def test_an_example_submits_a_job(language: str, served: Served, tmp_path: Path) -> None:
    needed = {"bash": ("bash", "curl", "openssl"), "php": ("php",), "js": (DENO,)}.get(language, ())
    if not all(map(shutil.which, needed)):
        pytest.skip(f"needs {', '.join(needed)}")
    found = re.search(rf"^```{language}\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)
    assert found
    script = tmp_path / f"example.{ {'js': 'mjs'}.get(language, language) }"
    script.write_text(found[1], encoding="utf-8")
    environment = {
        **os.environ,
        "COOP_URL": served.url,
        "COOP_KEY": served.credentials.api_key,
        "COOP_SECRET": served.credentials.signing_secret,
    }
    environment.update(DENO_DIR=str(tmp_path), DENO_NO_UPDATE_CHECK="1")
    ran = subprocess.run(
        [*RUNNERS[language], str(script)], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert ran.returncode == 0, ran.stderr
    assert "queued" in ran.stdout, ran.stdout
