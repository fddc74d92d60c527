"""What those who keep processes running have in common; the standard library alone, for one of them is small."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

EXIT_SETTINGS = 2
"""The exit code of a process whose settings are wrong: to start it again would be of no use."""

FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.5, 30.0


def backoff_seconds(failures: int) -> float:
    """The pause after so many deaths in a row, at least one."""
    return min(FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 16), LONGEST_BACKOFF_SECONDS)


def ask_to_end(process: psutil.Process | subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        process.send_signal(signal.CTRL_BREAK_EVENT)  # SIGTERM there ends a process without asking
    else:
        process.terminate()
