"""The inside of a warm child: requests in, answers out, one at a time. It ends with its parent."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from coop.errors import JobError
from workers.engines.launcher import set_limits
from workers.engines.process import FOLDER_PREFIX, HOMES, MAX_OPEN_FILES

Handler = Callable[[dict[str, Any]], dict[str, Any]]

# Deno reserves most of a gigabyte of data segment before it has run a line, so the bound cannot be tighter; what is
# really held is watched by the parent.
_LIMITS = {"DATA": 2 * 2**30, "FSIZE": 2**30, "NOFILE": MAX_OPEN_FILES, "CORE": 0}
# Of one request. Its deadline is the parent's business; this ends a loop that the parent does not see.
_CPU_SECONDS = 600


def serve(handlers: Mapping[str, Handler]) -> None:
    """Answer requests until standard input ends. Only this function writes to the pipe of answers."""
    answers = os.fdopen(os.dup(1), "wb")
    # Whatever a library prints lands in the log of errors, and cannot be taken for an answer.
    os.dup2(2, 1)
    set_limits(_LIMITS)
    requests: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    _settle_in(json.loads(requests.get())["folder"])
    while True:
        request = json.loads(requests.get())
        _limit_cpu()
        answers.write(json.dumps(_answer(handlers, request)).encode() + b"\n")
        answers.flush()


def _read_requests(requests: queue.Queue[bytes]) -> None:
    stdin: BinaryIO = sys.stdin.buffer
    for line in stdin:
        requests.put(line)
    _end_family()


def _answer(handlers: Mapping[str, Handler], request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"result": handlers[request["method"]](request["params"])}
    except JobError as error:
        described = {"code": error.code, "message": error.message}
        return {"error": described | {"passing": error.passing, "retry_after": error.retry_after}}
    except Exception as error:  # noqa: BLE001  # the doorstep: extractors fail in every way, and the parent must hear of it
        message = f"{type(error).__name__}: {error}"[:500]
        return {"error": {"code": "internal", "message": message, "passing": None, "retry_after": None}}


def _end_family() -> None:
    """The parent is gone or wants no more: end what this process started, and then this process, at once."""
    for member in psutil.Process().children(recursive=True):
        try:
            member.kill()
        except psutil.Error:
            continue
    folder = Path.cwd()
    # The parent made it for this process; somebody who starts this by hand stands elsewhere.
    if folder.name.startswith(FOLDER_PREFIX):
        os.chdir(folder.anchor)
        shutil.rmtree(folder, ignore_errors=True)
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _settle_in(folder: str) -> None:
    """Make `folder` all that this process knows of a home."""
    os.chdir(folder)
    os.umask(0o077)
    os.environ.update(dict.fromkeys((*HOMES, "TMPDIR", "TEMP", "TMP"), folder))
    tempfile.tempdir = None  # it may have looked already


def _limit_cpu() -> None:
    if sys.platform == "win32":
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    _soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    most = int(used.ru_utime + used.ru_stime) + _CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
