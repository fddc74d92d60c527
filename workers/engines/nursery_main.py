"""The process that children are forked from: it has loaded their module, runs nothing, and has one thread.

`python -m workers.engines.nursery_main MODULE`, with a Unix socket as standard input. It is asked in JSON, one message
each: `{"fork": …}` with the three pipes of the child to be, answered with its process number, and `{"wait": pid}`,
answered with its exit code. It ends when the other side of the socket does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import socket
import sys
from typing import Any, NoReturn

from workers.engines.child_main import serve

MESSAGE_BYTES = 65_536


def main() -> None:
    asked = socket.socket(fileno=os.dup(0))
    module: Any = importlib.import_module(sys.argv[1])
    _prepare(module, json.loads(asked.recv(MESSAGE_BYTES) or b"null"))
    while True:
        message, pipes, _flags, _address = socket.recv_fds(asked, MESSAGE_BYTES, 3)
        if not message:
            return
        request = json.loads(message)
        asked.send(json.dumps(_wait(request["wait"]) if "wait" in request else _fork(module, asked, pipes)).encode())


def _prepare(module: Any, params: dict[str, Any] | None) -> None:
    """Load what requests will need. An error is left for the first request to meet, which can report it."""
    if params is not None:
        with contextlib.suppress(Exception):
            module.PREPARE(params)
    # What is there by now is there for good: a collection in a child would only copy the pages it looks at.
    gc.collect()
    gc.freeze()


def _fork(module: Any, asked: socket.socket, pipes: list[int]) -> int:
    pid = os.fork()
    if pid == 0:
        _become_child(module, asked, pipes)
    for pipe in pipes:
        os.close(pipe)
    return pid


def _become_child(module: Any, asked: socket.socket, pipes: list[int]) -> NoReturn:
    try:
        # A session of its own, as every child has: it can be killed at once, and Ctrl-C does not reach it.
        os.setsid()
        asked.close()
        for number, pipe in enumerate(pipes):
            os.dup2(pipe, number)
            os.close(pipe)
        serve(module.HANDLERS)
    finally:
        os._exit(1)


def _wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    main()
