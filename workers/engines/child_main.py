"""The inside of a warm child: requests in, answers out, one at a time. It ends with its parent."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import psutil

from coop.errors import JobError

Handler = Callable[[dict[str, Any]], dict[str, Any]]

# Deno reserves most of a gigabyte of data segment before it has run a line, so the bound cannot be tighter; what is
# really held is watched by the parent.
_DATA_BYTES = 2 * 2**30
_FILE_BYTES = 2**30


def serve(handlers: Mapping[str, Handler]) -> None:
    """Answer requests until standard input ends. Only this function writes to the pipe of answers."""
    answers = os.fdopen(os.dup(1), "wb")
    # Whatever a library prints lands in the log of errors, and cannot be taken for an answer.
    os.dup2(2, 1)
    _limit_resources()
    requests: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    while True:
        request = json.loads(requests.get())
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
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _limit_resources() -> None:
    if sys.platform == "win32":
        return
    import resource

    for limit, most in ((resource.RLIMIT_DATA, _DATA_BYTES), (resource.RLIMIT_FSIZE, _FILE_BYTES)):
        _soft, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    # Without a core file: it would hold what the process knows.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
