"""The README's table on real outcomes: `pointsman spec`, `fit` and `replay` on each outcome set, split by time.

    python tests/benchmarks/real_outcomes.py [--readme README.md] [--sets NAME ...] [--data DIR] [--cache DIR]

Each set is cut by arrival: the first 60 % of the requests fit the bundle, the last 40 % are replayed. The command line
is run as a user runs it. Without --readme the tables are printed only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from pointsman.benchmarks.pages import rewrite
from pointsman.tables import markdown, metric_table, usd

MODELLED = {"mmlu_two_models": ["latency_ms", "output_tokens"], "mixed_nine_models": ["latency_ms", "output_tokens"]}


def main() -> None:
    """Measure, print, and write the README where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("POINTSMAN_DATA", "../shared/data")))
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--readme", type=Path)
    parser.add_argument("--cache", type=Path, help="keep the embeddings here for the next run")
    args = parser.parse_args()
    folder = args.data / "routing"
    if not folder.is_dir():
        sys.exit(f"{folder}: no outcome sets there; set POINTSMAN_DATA or --data")
    names = args.sets or sorted(path.parent.name for path in folder.glob("*/traces.parquet"))
    with tempfile.TemporaryDirectory() as work:
        cache = args.cache or Path(work) / "cache"
        reports = {name: measure(folder / name, Path(work), cache, args.trials) for name in names}
    text = render(reports)
    sys.stdout.write(text)
    if args.readme:
        rewrite(args.readme, "real outcomes", "tests/benchmarks/real_outcomes.py", text)


def measure(source: Path, work: Path, cache: Path, trials: int) -> dict[str, Any]:
    """Fit on the first 60 % of a set and replay the rest; return the replay's report."""
    name = source.name
    traces = pd.read_parquet(source / "traces.parquet")
    arrivals = traces.groupby("request_id")["timestamp"].min().sort_values(kind="stable")
    first = set(arrivals.index[: int(0.6 * len(arrivals))])
    inside = traces["request_id"].isin(first)
    seen, unseen = work / f"{name}.fit.parquet", work / f"{name}.unseen.parquet"
    traces[inside].to_parquet(seen)
    traces[~inside].to_parquet(unseen)
    spec, bundle, report = work / f"{name}.yaml", work / name, work / f"{name}.json"
    modelled = MODELLED.get(name, ["latency_ms"])
    run("spec", "--traces", seen, "--prices", source / "candidates.csv", "--out", spec, "--modelled", *modelled)
    started = time.monotonic()
    store = f"sqlite:///{work / 'mlflow.db'}"
    fit_options = ("--trials", trials, "--tracking-uri", store, "--cache", cache)
    run("fit", "--traces", seen, "--spec", spec, "--out", bundle, *fit_options, allowed=(0, 1))
    seconds = time.monotonic() - started
    run("replay", "--bundle", bundle, "--traces", unseen, "--spec", spec, "--json", report, allowed=(0, 1))
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return {**found, "fit_requests": len(first), "fit_seconds": seconds}


def run(*words: object, allowed: tuple[int, ...] = (0,)) -> None:
    """Run the command line; stop where it fails."""
    command = [sys.executable, "-m", "pointsman.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in allowed:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")


def render(reports: dict[str, dict[str, Any]]) -> str:
    """Return the tables as Markdown."""
    change = [
        [
            "outcomes",
            "fit on",
            "unseen",
            "before",
            "useful, before → after",
            "Δ useful, points",
            "cost",
            "P95",
            "certified when fitted",
            "useful rate, unseen",
            "P95, unseen",
        ]
    ]
    against = [
        ["outcomes", "rival", "its useful rate", "its USD per useful", "Δ useful, points", "Δ cost", "net value"]
    ]
    details = []
    for name, report in reports.items():
        before, after, diff = report["before"], report["after"], report["change"]
        verdict = {entry["name"]: entry["verdict"] for entry in report["constraints"]}
        change.append(
            [
                name.replace("_", " "),
                f"{report['fit_requests']:,}",
                f"{report['requests']:,}",
                report["baseline"].rpartition("/")[2],
                f"{100 * before['useful_rate']:.1f} → {100 * after['useful_rate']:.1f} %",
                points(diff["useful_rate"]),
                percent(diff["cost_usd"]),
                percent(diff["p95_ms"]),
                certificate(report["certificate"]),
                verdict["useful_rate"],
                verdict["p95_latency_ms"],
            ]
        )
        for rival, entry in report["against"].items():
            summary = report["baselines"][rival]
            against.append(
                [
                    name.replace("_", " "),
                    rival,
                    f"{100 * summary['useful_rate']:.1f} %",
                    usd(summary["cost_per_useful"]),
                    points(entry["useful_rate"]),
                    percent(entry["cost_usd"]),
                    entry["stands"],
                ]
            )
        title = (
            f"{name}: every baseline ({report['fit_seconds']:.0f} s to fit; modelled: {', '.join(report['modelled'])})"
        )
        details.append(
            f"<details><summary>{title}</summary>\n\n{report['verdict']}\n\n{metric_table(report)}\n\n</details>\n"
        )
    rivals = "Against the content-blind baselines on the same requests:"
    return f"\n{markdown(change)}\n\n{rivals}\n\n{markdown(against)}\n\n{''.join(details)}\n"


def certificate(found: dict[str, Any]) -> str:
    """Say whether the fit could certify its policy, or what that would take."""
    if found["certified"]:
        return f"yes, on {found['requests']:,}"
    more = found["more_requests"]
    return "no: more requests would not do" if more is None else f"no: {more:,} more requests"


def points(entry: dict[str, float]) -> str:
    """Return a difference of shares in points, with its interval."""
    return f"{100 * entry['difference']:+.1f} [{100 * entry['low']:+.1f}, {100 * entry['high']:+.1f}]"


def percent(entry: dict[str, float]) -> str:
    """Return a ratio as a change in per cent, with its interval."""
    low, high = 100 * (entry["ratio_low"] - 1), 100 * (entry["ratio_high"] - 1)
    return f"{100 * (entry['ratio'] - 1):+.0f} % [{low:+.0f}, {high:+.0f}]"


if __name__ == "__main__":
    main()
