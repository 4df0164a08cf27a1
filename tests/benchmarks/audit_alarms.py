"""Does the audit cry wolf, and does it see the wolf: false alarms on clean logs, power for each planted fault.

    python tests/benchmarks/audit_alarms.py --samples 200 --planted 60 --workers 4 --page policies/AUDIT.md

A clean log counts as one false alarm, however many checks raise it: the audit as a whole is what promises 5 %.
Intervals are Clopper and Pearson's.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from clean_logs import FAULTS, Case, clean_log, clean_week, plant
from scipy.stats import binomtest

from pointsman.audit.audit_traces import audit_traces
from pointsman.benchmarks.pages import rewrite

if TYPE_CHECKING:
    from collections.abc import Callable

CLEAN: dict[str, tuple[Callable[[int, int], Case], int]] = {
    "synthetic log": (clean_log, 1200),
    "sample week, faults undone": (clean_week, 1500),
}


def main() -> None:
    """Measure, print, and write the page's part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=200, help="clean logs of each kind")
    parser.add_argument("--planted", type=int, default=60, help="logs with each fault")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--page", type=Path, help="page whose part is rewritten")
    args = parser.parse_args()
    lines = [
        "| logs | requests | audited | flagged | rate, % [95 %] | by |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    with ProcessPoolExecutor(args.workers) as pool:
        for name, (_, size) in CLEAN.items():
            flags = _all(pool, partial(_clean, name), args.samples, name)
            by = Counter(code for red in flags for code in red)
            words = ", ".join(f"{code} {count}" for code, count in by.most_common()) or "–"
            alarms = sum(map(bool, flags))
            lines.append(
                f"| clean: {name} | {size:,} | {len(flags)} | {alarms} | {_rate(alarms, len(flags))} | {words} |"
            )
            _write(args.page, lines)
        for fault in FAULTS:
            flags = _all(pool, partial(_planted, fault), args.planted, fault)
            found = sum(fault in red for red in flags)
            lines.append(
                f"| planted: {fault} | 1,200 | {len(flags)} | {found} | {_rate(found, len(flags))} | {fault} |"
            )
            _write(args.page, lines)


def _write(page: Path | None, lines: list[str]) -> None:
    """Print the last row and write the page's part: a run that is stopped leaves what it measured."""
    sys.stdout.write("\n".join(lines if len(lines) == 3 else lines[-1:]) + "\n")
    sys.stdout.flush()
    if page:
        rewrite(page, "alarms", "tests/benchmarks/audit_alarms.py", "\n".join(lines))


def _all(pool: ProcessPoolExecutor, one: Callable[[int], set[str]], count: int, name: str) -> list[set[str]]:
    found = []
    for red in pool.map(one, range(count)):
        found.append(red)
        if len(found) % 20 == 0 or len(found) == count:
            said = f"{time.strftime('%H:%M:%S')} {name}: {len(found)}/{count}, {sum(map(bool, found))} flagged\n"
            sys.stderr.write(said)
            sys.stderr.flush()
    return found


def _clean(name: str, seed: int) -> set[str]:
    make, size = CLEAN[name]
    return _flags(make(seed, size), seed)


def _planted(fault: str, seed: int) -> set[str]:
    return _flags(plant(fault, 5000 + seed), seed)


def _flags(case: Case, seed: int) -> set[str]:
    return {one.check for one in audit_traces(case.rows, "log", evaluation=case.evaluation, seed=seed).red_flags}


def _rate(hits: int, of: int) -> str:
    interval = binomtest(hits, of).proportion_ci(0.95)
    return f"{100 * hits / of:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


if __name__ == "__main__":
    main()
