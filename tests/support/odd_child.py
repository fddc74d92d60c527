"""A child whose requests do what children should not."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
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


def whereabouts(_params: Params) -> Params:
    found = {"cwd": os.getcwd(), "home": os.path.expanduser("~"), "temp": tempfile.gettempdir()}
    return {**found, "files": os.listdir()}


def limits(_params: Params) -> Params:
    import resource

    names = ("NOFILE", "CORE", "FSIZE", "DATA", "CPU")
    return {name: list(resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))) for name in names}


def open_files(_params: Params) -> Params:
    held = []
    try:
        while True:
            held.append(open(os.devnull, "rb"))  # noqa: SIM115  # held on purpose
    except OSError:
        return {"opened": len(held)}
    finally:
        for file in held:
            file.close()


def write_a_large_file(_params: Params) -> Params:
    try:
        with open("large", "wb") as file:
            file.truncate(4 * 2**30)
    except OSError as error:
        return {"errno": error.errno}
    return {}


def start_many(params: Params) -> Params:
    sleep = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]
    sleepers = [subprocess.Popen(sleep) for _ in range(params["count"])]
    time.sleep(60)
    return {"started": len(sleepers)}


HANDLERS = {
    "start_a_sleeper_and_wait": start_a_sleeper_and_wait,
    "exit": leave,
    "print": print_text,
    "divide": lambda params: {"quotient": 1 // params["by"]},
    "environment": lambda _params: dict(os.environ),
    "fill_memory": fill_memory,
    "pid": own_pid,
    "whereabouts": whereabouts,
    "limits": limits,
    "open_files": open_files,
    "write_a_large_file": write_a_large_file,
    "start_many": start_many,
}

if __name__ == "__main__":
    serve(HANDLERS)
