"""The README's table and picture on the embedded sample week: `pointsman quickstart`, as a user runs it.

python tests/benchmarks/sample_week.py [--readme README.md] [--picture FILE]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pointsman.benchmarks.pages import rewrite
from pointsman.tables import metric_table


def main() -> None:
    """Run, print, and write the README where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readme", type=Path)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        started = time.monotonic()
        command = [sys.executable, "-m", "pointsman.cli", "quickstart", "--out", work]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - started
        if done.returncode not in {0, 1}:
            sys.exit(done.stderr)
        report = json.loads((Path(work) / "report.json").read_text(encoding="utf-8"))
        if args.picture:
            args.picture.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(Path(work) / "cost_and_usefulness.png", args.picture)
    text = f"\n> {report['verdict']}\n\n{metric_table(report)}\n\n"
    sys.stdout.write(f"{text}{seconds:.0f} s\n")
    if args.readme:
        rewrite(args.readme, "sample week", "tests/benchmarks/sample_week.py", text)


if __name__ == "__main__":
    main()
