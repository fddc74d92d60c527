"""A child whose requests do what children should not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from workers.engines.child_main import serve

Params = dict[str, Any]


def start_a_sleeper_and_wait(params: Params) -> Params:
    """Starts a grandchild in a session of its own, out of reach of the group's signal; notes its number."""
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    Path(params["note"]).write_text(str(sleeper.pid))
    time.sleep(60)
    return {}


def leave(params: Params) -> Params:
    os._exit(params["code"])


def print_text(params: Params) -> Params:
    print(params["text"], flush=True)  # noqa: T201  # what this test is about
    return {"printed": True}


def fill_memory(params: Params) -> Params:
    held = bytearray(os.urandom(1)) * params["bytes"]
    time.sleep(30)
    return {"held": len(held)}


def own_pid(params: Params) -> Params:
    time.sleep(params.get("wait", 0))
    return {"pid": os.getpid()}


HANDLERS = {
    "start_a_sleeper_and_wait": start_a_sleeper_and_wait,
    "exit": leave,
    "print": print_text,
    "divide": lambda params: {"quotient": 1 // params["by"]},
    "environment": lambda _params: dict(os.environ),
    "fill_memory": fill_memory,
    "pid": own_pid,
}

if __name__ == "__main__":
    serve(HANDLERS)
