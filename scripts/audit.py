"""Ask for known vulnerabilities of every pinned package: `make audit`.

First a version that is known to be vulnerable is asked about. A source that has nothing on it (no network, a mirror
without that data) would find nothing in anything: the audit was not run then, and that is no pass.
Exit: 0 nothing known, 1 vulnerabilities, 2 not run.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# CVE-2018-18074, in every database there is.
KNOWN_BAD = "requests==2.19.0"
SECONDS = 600
CLEAN, VULNERABLE, NOT_RUN = 0, 1, 2


def ask(*arguments: str) -> tuple[int, str]:
    """pip-audit's exit code (1 for vulnerabilities and for trouble) and all that it said."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--progress-spinner", "off", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return NOT_RUN, f"no answer within {SECONDS} s"
    return done.returncode, done.stdout + done.stderr


def has_data() -> bool:
    """Whether the source of pip-audit knows what everybody knows."""
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "canary.txt"
        canary.write_text(f"{KNOWN_BAD}\n")
        _, said = ask("--no-deps", "-r", str(canary))
    return "PYSEC-2018-28" in said or "CVE-2018-18074" in said or "GHSA-x84v-xcm2-53pg" in said


def main() -> int:
    if not has_data():
        print(
            f"audit: NOT RUN. The source of vulnerabilities cannot be reached, or knows none: not even {KNOWN_BAD}'s."
        )
        return NOT_RUN
    worst = CLEAN
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-gateway.txt"):
        code, said = ask("--require-hashes", "-r", str(ROOT / name))
        print(
            f"audit: {name}: {'no known vulnerability' if code == 0 else 'see below'}\n{said if code else ''}".strip()
        )
        worst = max(worst, VULNERABLE if code else CLEAN)
    return worst


if __name__ == "__main__":
    sys.exit(main())
