"""What is shipped agrees with itself: images, compose file, requirements, documents made from the settings."""

import re
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from coop.commands.settings import COMPUTED, dotenv_document, markdown_document
from coop.settings import VARIABLES, Settings, read_settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ["gateway", "worker", "flower"]


def _names(path: str) -> set[str]:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return {match[0].lower() for line in lines if (match := re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line))}


def _versions(path: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[.*?\])?==(\S+)", (ROOT / path).read_text(encoding="utf-8"), re.M))


def test_the_configuration_document_is_that_of_the_settings() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == markdown_document(), "run `make docs`"


def test_the_example_of_a_dotenv_file_is_that_of_the_settings() -> None:
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == dotenv_document(), "run `make docs`"


def test_every_setting_is_in_the_example(tmp_path: Path) -> None:
    everything = tmp_path / ".env"
    everything.write_text(
        re.sub(r"^# (?=[A-Z_]+=)", "", (ROOT / ".env.example").read_text(encoding="utf-8"), flags=re.M)
    )

    assert set(VARIABLES) <= dotenv_values(everything).keys()
    assert read_settings({}, everything) == read_settings({}, None)  # the defaults that it shows are the defaults


def test_a_default_that_depends_on_the_machine_is_told_in_words() -> None:
    computed = {name for name, field in Settings.model_fields.items() if field.default_factory}

    assert computed == COMPUTED.keys()


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_watched_and_comes_back(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", OURS)
def test_our_services_have_no_rights_they_do_not_need(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["env_file"] == ".env"
    assert service["depends_on"]["redis"] == {"condition": "service_healthy"}


def test_the_services_name_settings_that_exist() -> None:
    named = {name for service in OURS for name in SERVICES[service]["environment"] if name.startswith("COOP_")}

    assert named <= VARIABLES.keys()


def test_no_password_stands_in_the_compose_file() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")

    assert set(re.findall(r"\$\{(\w+):\?", text)) == {"REDIS_PASSWORD", "COOP_FLOWER_BASIC_AUTH"}
    assert re.findall(r"redis://\S+", text) == ["redis://:${REDIS_PASSWORD:?set"]


def test_redis_is_durable_and_not_published() -> None:
    configuration = COMPOSE["configs"]["redis"]["content"].splitlines()

    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction", "dir /data"} <= set(configuration)
    assert "ports" not in SERVICES["redis"]
    assert "redis:/data" in SERVICES["redis"]["volumes"]


def test_flower_is_reached_from_its_own_host_alone() -> None:
    assert SERVICES["flower"]["ports"] == ["127.0.0.1:5555:5555"]


@pytest.mark.parametrize("name", ["gateway", "worker"])
def test_the_targets_that_are_built_exist_and_do_not_run_as_root(name: str) -> None:
    stages = re.split(r"^FROM \S+ AS ", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.M)
    stage = next(stage for stage in stages if stage.startswith(f"{SERVICES[name]['build']['target']}\n"))

    assert re.findall(r"^USER (\S+)", stage, re.M)[-1] == "10001"


def test_the_dockerfile_copies_only_what_is_there_and_not_ignored() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sources = [source for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M) for source in line.split()]

    assert [source for source in sources if not (ROOT / source).exists()] == []
    taken = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert [source for source in sources if not any(Path(source).match(pattern) for pattern in taken)] == []


def test_the_gateway_has_the_workers_versions_and_none_of_its_tools() -> None:
    gateway, everything = _versions("requirements-gateway.txt"), _versions("requirements.txt")

    assert gateway.items() <= everything.items()
    assert not gateway.keys() & {"yt-dlp", "openai", "faster-whisper", "imageio-ffmpeg", "av", "deno"}
    assert _names("requirements-gateway.in") <= _names("requirements.in")


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-gateway.txt"])
def test_every_package_is_pinned_by_hash_and_no_index_is_named(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    entries = re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, re.M | re.S)

    assert entries
    assert [entry.splitlines()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)


@pytest.mark.parametrize("name", [".ci/run", "scripts/find_python.sh", "scripts/setup.sh"])
def test_scripts_can_be_run(name: str) -> None:
    assert (ROOT / name).stat().st_mode & stat.S_IXUSR
