"""The examples of `docs/api.md` and of the README, run as they stand there against a served gateway."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet import eventually
from tests.support.gateway import Served, served_on
from tests.support.redis_server import RedisServer

ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
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


def test_the_shell_example_of_the_readme_submits_a_job(served: Served) -> None:
    if not all(map(shutil.which, ("bash", "curl", "openssl"))):
        pytest.skip("needs bash, curl, openssl")
    environment = {
        **os.environ,
        "GATEWAY": served.url,
        "API_KEY": served.credentials.api_key,
        "SIGNING_SECRET": served.credentials.signing_secret,
    }
    script = _of_readme("sh", "api/process-video")
    ran = subprocess.run(
        ["bash", "-euc", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert ran.returncode == 0, ran.stderr
    assert served.client.job("req_1")["status"] == "queued", ran.stdout


def test_the_python_example_of_the_readme_waits_for_the_end_of_its_job(served: Served) -> None:
    script = (
        _of_readme("python", "coop.submit")
        .replace("https://gateway.example.org", served.url)
        .replace('api_key="…"', f'api_key="{served.credentials.api_key}"')
        .replace('signing_secret="whsec_…"', f'signing_secret="{served.credentials.signing_secret}"')
    )
    before = len(served.client.jobs()["jobs"])
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as example:
        try:
            eventually(lambda: len(served.client.jobs()["jobs"]) > before, what="the example's job")
            served.client.cancel(served.client.jobs()["jobs"][0]["requestId"])
            said, _ = example.communicate(timeout=60)
        finally:
            example.kill()

    assert example.returncode == 0, said
    assert b"'cancelled'" in said


def _of_readme(language: str, word: str) -> str:
    """The one block of the README in that language that has the word."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if word in block)
    return str(block)
