"""Do promises hold? 200 random resplits of each outcome set: how often a constraint is broken on the unseen part.

    python tests/benchmarks/resplits.py [--sets NAME ...] [--resplits 200] [--margin 0.01] [--trials 0] [--data DIR]
        [--cache DIR] [--processes 2] [--readme README.md] [--json F]

Each resplit draws 60 % of the requests to fit on and keeps 40 % unseen. The fit part is cut as `pointsman fit` cuts it;
search, order and certificate are the product's. Beliefs are cross-fitted once over the whole set, so that every request
is believed by heads that never saw it. Three ways to choose from the same search are compared: the certified policy,
the search's own confidence bound («bound»), and the cheapest rule that keeps every limit where it was tuned («hope»).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from outcome_sets import RememberingEncoder, read_set
from scipy.stats import binomtest

from pointsman.benchmarks.pages import rewrite
from pointsman.classifier import Features
from pointsman.cross_fitting import cross_fit
from pointsman.decide import believe
from pointsman.draft import draft_policy
from pointsman.labels import intent_labels
from pointsman.lexical import Lexicon
from pointsman.objective import checks
from pointsman.replay import Served, baseline_columns, facts_of, quantile
from pointsman.search import search
from pointsman.slices import prompt_folds, time_slices
from pointsman.spec import RoutingSpec, parse_spec
from pointsman.structure import Structure
from pointsman.tables import markdown
from pointsman.tuning import Known, certify, cross_fitted, path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pointsman.rules import Rule
    from pointsman.tried import Tried

WAYS = ("certified", "bound", "hope")


@dataclass(frozen=True, eq=False)
class World:
    """A whole outcome set, believed out of fold; `known.before` is filled anew in each resplit."""

    name: str
    known: Known
    folds: NDArray[np.intp]


def world(folder: Path, cache: Path | None) -> World:
    """Read a set, embed it, and cross-fit the product's classifier over all of it."""
    encoder = RememberingEncoder()
    one = read_set(folder, encoder, cache)
    ids, labels = encoder.token_ids(list(one.outcomes.prompt)), intent_labels(one.outcomes.intent)
    lexicon = Lexicon.fit(ids, encoder.vocabulary_size, encoder.special_ids)
    structure = Structure.fit(ids, encoder.vocabulary, encoder.special_ids)
    features = Features.of(one.embeddings, ids, lexicon, structure)
    tenth = np.arange(len(one.outcomes)) % 10 == 0
    folds = prompt_folds(one.outcomes.prompt)
    crossed = cross_fit(
        lexicon,
        (features, labels.codes, one.outcomes.useful),
        (features.take(tenth), labels.codes[tenth], one.outcomes.useful[tenth]),
        folds,
        len(labels.names),
        output_tokens=one.outcomes.output_tokens,
        cost_usd=one.outcomes.cost_usd,
        structure=structure,
    )
    best = one.outcomes.models[int(one.outcomes.useful.mean(axis=0).argmax())]
    draft = draft_policy(one.outcomes, labels, crossed, asked(one.outcomes.models, best, 0.0, None), encoder.clip)
    beliefs = replace(
        believe(crossed.reading, facts_of(one.outcomes), draft.policy),
        intent_useful=crossed.intent_useful.T.astype(np.float32),
        cost_usd=draft.cost_usd.T.astype(np.float32),
        late=draft.late.T.astype(np.float32),
    )
    before = Served.by(one.outcomes, baseline_columns(one.outcomes, best))
    return World(folder.name, Known(beliefs, one.outcomes, before), folds)


def asked(models: Sequence[str], baseline: str, margin: float, limit_ms: float | None) -> RoutingSpec:
    """Return the spec: as useful as the best single model but for the margin, and a P95 of at most a tenth above it."""
    constraints = {"useful_rate": {"relative_to": "baseline", "margin": margin}, "confidence": 0.95}
    if limit_ms is not None:
        constraints["p95_latency_ms"] = limit_ms
    names = {"candidates": {name: {} for name in models}, "baseline": baseline, "safe_model": models[0]}
    return parse_spec({**names, "constraints": constraints})


def resplit(one: World, seed: int, margin: float, trials: int) -> dict[str, Any]:
    """Fit on a random 60 %, judge on the rest."""
    n = len(one.known)
    order = np.random.default_rng([seed, 0x5EED]).permutation(n)
    fit, unseen = np.sort(order[: int(0.6 * n)]), np.sort(order[int(0.6 * n) :])
    slices = time_slices(one.known.outcomes.timestamp[fit])
    learn = fit[slices.learn]
    best = int(one.known.outcomes.useful[learn].mean(axis=0).argmax())
    whole = replace(one.known, before=Served.by(one.known.outcomes, np.full(n, best)))
    limit = 1.1 * quantile(whole.take(fit).before.latency_ms, 0.95)
    models = one.known.outcomes.models
    spec = asked(models, models[best], margin, limit)

    def find(part: Known) -> Sequence[Tried]:
        objective = part.objective(spec)
        return search(part.beliefs, objective, models, models[best], trials, seed, strict=False).tried

    tune = whole.take(learn)
    tried = find(tune)
    steps, test = path(tried), whole.take(unseen)
    bound = min(tried, key=lambda one: (one.evaluation.violation, one.evaluation.cost_per_useful)).rule
    rules: dict[str, Rule] = {"bound": bound, "hope": steps[-1].rule if steps else bound}
    certificate = None
    if steps:
        later = [whole.take(fit[part]) for part in (slices.calibrate, slices.certify)]
        earlier = cross_fitted(tune, one.folds[learn], steps, find)
        certificate = certify(steps, later, spec, earlier, seed)
    rules["certified"] = bound if certificate is None else steps[certificate.chosen].rule
    found: dict[str, Any] = {"proven": certificate is not None and certificate.certified}
    for way in WAYS:
        served = test.served(rules[way])
        found[way] = {
            "broken": [check.name for check in checks(served, test.before, spec) if not check.held],
            "saved": 1 - float(served.cost_usd.sum() / test.before.cost_usd.sum()),
            "points": 100 * float(served.useful.mean() - test.before.useful.mean()),
        }
    return found


def main() -> None:
    """Measure, print, and write the README where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("POINTSMAN_DATA", "../shared/data")))
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--resplits", type=int, default=200)
    parser.add_argument("--margin", type=float, default=0.01)
    parser.add_argument("--trials", type=int, default=0, help="Optuna trials a search, beside the Lagrangian's rules")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--readme", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    folder = args.data / "routing"
    if not folder.is_dir():
        sys.exit(f"{folder}: no outcome sets there; set POINTSMAN_DATA or --data")
    names = args.sets or sorted(file.parent.name for file in folder.glob("*/traces.parquet"))
    runs: dict[str, list[dict[str, Any]]] = {}
    for name in names:
        one = world(folder / name, args.cache)
        jobs = [(one, seed, args.margin, args.trials) for seed in range(args.resplits)]
        with multiprocessing.get_context("fork").Pool(args.processes) as pool:
            runs[name] = pool.starmap(resplit, jobs, chunksize=5)
        sys.stderr.write(render({name: runs[name]}, args.margin))
    text = render(runs, args.margin)
    sys.stdout.write(text)
    if args.json:
        args.json.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")
    if args.readme:
        rewrite(args.readme, "resplits", "tests/benchmarks/resplits.py", text)


def render(runs: dict[str, list[dict[str, Any]]], margin: float) -> str:
    """Return the table in Markdown."""
    count = max(len(rows) for rows in runs.values())
    head = ["outcomes", "policy", "certified", "promise broken", "of these useful", "P95", "Δ useful", "cost saved"]
    cells = [head]
    for name, rows in runs.items():
        for way in WAYS:
            # Where nothing could be certified, pointsman says so and promises nothing.
            promised = [row for row in rows if row["proven"] or way != "certified"]
            broken = sum(bool(row[way]["broken"]) for row in promised)
            share = binomtest(broken, len(rows)).proportion_ci(0.95)
            said = [f"{broken / len(rows):.1%} [{share.low:.1%}, {share.high:.1%}]"]
            names = ("useful_rate", "p95_latency_ms")
            said += [str(sum(key in row[way]["broken"] for row in promised)) for key in names]
            points, saved = (np.array([row[way][key] for row in rows]) for key in ("points", "saved"))
            proven = f"{np.mean([row['proven'] for row in rows]):.0%}" if way == "certified" else "–"
            moved = f"{points.mean():+.2f} points"
            cells.append([name if way == WAYS[0] else "", way, proven, *said, moved, f"{saved.mean():.1%}"])
    note = (
        f"{count} random resplits, 60 % to fit on; at most {100 * margin:g} points less useful, P95 at most a tenth up."
    )
    return f"\n{note}\n\n{markdown(cells)}\n\n"


if __name__ == "__main__":
    main()
