"""Becomes another program, under limits: `python -I -S launcher.py LIMITS PARENT PROGRAM ARGUMENTS…`.

The limits of a process can only be set from within, and between fork and exec a process with threads may run no Python;
so this small one is started, limits itself and turns into the program. It imports nothing of the project. On Linux the
program also ends with its parent, which `PARENT` is the number of: a worker that is killed leaves no ffmpeg behind.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping

_PR_SET_PDEATHSIG = 1


def set_limits(limits: Mapping[str, int]) -> None:
    """Set RLIMIT_NAME for each NAME that this system knows, soft and hard, or leave what is lower already."""
    if sys.platform == "win32":
        return
    import resource

    for name, most in limits.items():
        number = getattr(resource, f"RLIMIT_{name}", None)
        if number is not None:
            _soft, hard = resource.getrlimit(number)
            bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(number, (bound, bound))


def end_with_parent(parent: int) -> None:
    """Have the system kill this process when the thread that started it is gone; Linux only."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # It may have gone before we asked.
    if os.getppid() != parent:
        os._exit(1)


def main(limits: str, parent: str, program: str, *arguments: str) -> None:
    end_with_parent(int(parent))
    set_limits({name: int(most) for name, _, most in (each.partition("=") for each in limits.split(","))})
    os.execv(program, [program, *arguments])  # noqa: S606  # no shell is meant


if __name__ == "__main__":
    main(*sys.argv[1:])
