"""An internet in a network namespace: every address answers, and a DNS server tells names what a test likes.

`run_in_small_internet(module, argument)` runs `python -m MODULE ARGUMENT` in namespaces of its own (Linux, where users
may make them): all addresses of IPv4 and IPv6 are this machine's, and /etc/resolv.conf names a server on 127.0.0.53. So
the system's own resolver and the production rules can be tried, and a listener sees at which address it was reached.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NAMESERVER = "127.0.0.53"
_SETUP = """
ip link set lo up &&
ip route add local 0.0.0.0/0 dev lo && ip -6 route add local ::/0 dev lo &&
mount --bind "$1" /etc/resolv.conf && shift && exec "$@"
"""


def _command(resolv_conf: Path, *command: str) -> list[str]:
    return ["unshare", "--map-root-user", "--mount", "--net", "sh", "-c", _SETUP, "sh", str(resolv_conf), *command]


def run_in_small_internet(*command: str, seconds: float = 100) -> subprocess.CompletedProcess[str]:
    """The finished `python COMMAND`, with its output as text."""
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as resolv_conf:
        resolv_conf.write(f"nameserver {NAMESERVER}\\noptions timeout:3 attempts:1\\n".replace("\\n", "\n"))
        resolv_conf.flush()
        return subprocess.run(
            _command(Path(resolv_conf.name), sys.executable, *command),
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


def can_make_one() -> bool:
    if not (sys.platform == "linux" and shutil.which("unshare") and shutil.which("ip")):
        return False
    return run_in_small_internet("-c", "pass", seconds=20).returncode == 0
