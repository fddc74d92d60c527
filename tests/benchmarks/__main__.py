"""`python -m tests.benchmarks [NAME…] [--quick] [--json FILE]`: all benchmarks, or these."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

from tests.benchmarks import machine
from tests.benchmarks.figures import Figure, table

NAMES = ("one_video", "again", "idle", "throughput", "local_transcription", "gateway", "scale", "backlog")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="shorter runs: to see that they run, not for figures")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="file for the figures")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(NAMES))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}")
    document = {"machine": machine.describe(), "quick": options.quick, "figures": {}}
    rows: list[tuple[str, Figure]] = []
    for name in options.names or NAMES:
        began = time.monotonic()
        found = importlib.import_module(f"tests.benchmarks.{name}").run(options.quick)
        _say(f"{name}: {time.monotonic() - began:.0f} s")
        rows += [(name, figure) for figure in found]
        document["figures"][name] = [figure.document() for figure in found]
        options.json.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        _say(table((name, figure) for figure in found))
    sys.stdout.write(table(rows) + "\n")
    return 0


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
