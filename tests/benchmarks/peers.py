"""pointsman against its peers on real outcomes: the same splits, embeddings, intents and expected costs for everybody.

    python tests/benchmarks/peers.py [--readme README.md] [--sets NAME ...] [--splits 5] [--data DIR] [--cache DIR]
                                     [--json FILE]

Each set is split 60/40 at random, several times. Every peer predicts P(useful) of each candidate and goes where
``value·P(useful) − expected cost`` is largest. Two comparisons:

- deployed: the knob is set on the training part. A peer's users take the cheapest setting that was, out of fold, as
  useful there as the best single model minus the margin. pointsman is what `pointsman fit` exports for the same
  constraint: it trains and tunes on the first 70 % of the training part, and keeps the rest, and folds, for the
  certificate. «uncertified» is the best rule of its search, which kept the constraint at 95 % confidence where it was
  tuned. A promise is broken where the measured usefulness on the unseen part is below the best single model's by more
  than the margin.
- hindsight: the knob is set on the unseen part, for everybody alike: what the predictions are worth, whatever sets the
  knob. `area` is the mean usefulness bought, in points against the best single model, over spendings from the cheapest
  to the best single model's.

`best_per_intent` is told the labelled intent of unseen requests; pointsman has to predict it. `random_same_cost` mixes
two single models. `oracle` knows the outcomes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path as Folder
from typing import Any

import numpy as np
from frontier import Path, Reference, area, knob, measures, trade_off
from numpy.typing import NDArray
from outcome_sets import OutcomeSet, RememberingEncoder, Split, read_set, splits
from peer_tables import render
from peers_of_pointsman import PEERS, intents
from pointsman_row import learn, route, routing_spec, trust_of, value_path

from pointsman.benchmarks.pages import rewrite
from pointsman.fit import FitOptions
from pointsman.labels import intent_labels

MARGINS = (0.01, 0.0)
Floats = NDArray[np.floating[Any]]


def main() -> None:
    """Measure, print, and write JSON and the README where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Folder, default=Folder(os.environ.get("POINTSMAN_DATA", "../shared/data")))
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--trials", type=int, default=50, help="of each of pointsman's searches")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Folder, help="keep the embeddings here for the next run")
    parser.add_argument("--json", type=Folder, help="write every figure here; splits that it holds are not run again")
    parser.add_argument("--readme", type=Folder)
    args = parser.parse_args()
    folder = args.data / "routing"
    if not folder.is_dir():
        sys.exit(f"{folder}: no outcome sets there; set POINTSMAN_DATA or --data")
    names = args.sets or sorted(path.parent.name for path in folder.glob("*/traces.parquet"))
    options = FitOptions(trials=args.trials, seed=args.seed)
    found: dict[str, Any] = {}
    if args.json and args.json.is_file():
        found = json.loads(args.json.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as work:
        for name in names:
            runs = found.setdefault(name, [])
            if len(runs) >= args.splits:
                continue
            encoder = RememberingEncoder()
            one = read_set(folder / name, encoder, args.cache or Folder(work))
            for number, split in enumerate(splits(one.outcomes, args.splits, args.seed)):
                if number < len(runs):
                    continue
                sys.stderr.write(f"{name}, split {number + 1} of {args.splits}\n")
                runs.append(compare(one, split, encoder, options))
                if args.json:
                    args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    text = render({name: found[name][: args.splits] for name in names}, MARGINS)
    sys.stdout.write(text)
    if args.readme:
        rewrite(args.readme, "peers", "tests/benchmarks/peers.py", text)


@dataclass(frozen=True, eq=False)
class Rival:
    """One method on one split.

    Attributes
    ----------
    setting : str
        Chosen on the training part.
    train, test : Path
        What the training requests get, predicted out of fold, and the unseen ones.
    """

    setting: str
    train: Path
    test: Path


def compare(one: OutcomeSet, split: Split, encoder: RememberingEncoder, options: FitOptions) -> dict[str, Any]:
    """Return every figure of one split, by method: the setting, the hindsight measures, the deployed points."""
    train, test = one.outcomes.take(split.train), one.outcomes.take(split.test)
    best = int(train.useful.mean(axis=0).argmax())
    before, unseen = (Reference.of(part.useful, part.cost_usd, best) for part in (train, test))
    learned = learn(one, split, encoder, routing_spec(one, best, 0.0, len(test)))
    # Expected costs are pointsman's, by what was learned without the request: what is compared is the choice.
    expected = learned.expected_usd, np.asarray(learned.unseen.cost_usd.T)
    values = knob(expected[0])
    trust = trust_of(learned, best, values)
    found: dict[str, Any] = {
        "pointsman": {
            "setting": f"trust={trust:g}, deviation={learned.crossed.deviation:g}",
            "hindsight": measures(value_path(learned.unseen, test, trust, values), unseen, MARGINS),
            "deployed": {},
        },
        "pointsman, uncertified": {"deployed": {}},
    }
    for margin in MARGINS:
        routed = route(learned, routing_spec(one, best, margin, len(test)), options)
        for name, chosen in (("pointsman", routed.chosen), ("pointsman, uncertified", routed.uncertified)):
            served = picked(test.useful, test.cost_usd, chosen[None])
            found[name]["deployed"][f"{margin:g}"] = promise(served.useful[0], served.cost_usd[0], unseen, margin)
        found["pointsman"]["deployed"][f"{margin:g}"]["certified"] = routed.certified
    for name, rival in methods(one, split, expected, values, before).items():
        found[name] = {"setting": rival.setting, "hindsight": measures(rival.test, unseen, MARGINS)}
        if name != "oracle":
            found[name]["deployed"] = {
                f"{margin:g}": promise(*deployed(rival, before, unseen, margin), unseen, margin) for margin in MARGINS
            }
    return {"train": len(train), "test": len(test), "baseline": train.models[best], "methods": found}


def methods(
    one: OutcomeSet, split: Split, expected: tuple[Floats, Floats], values: Floats, before: Reference
) -> dict[str, Rival]:
    """Fit the peers, and what is no method; a peer's own settings are those of largest area out of fold."""
    outcomes, fit_on, test, folds = one.outcomes, split.train, split.test, split.folds
    train_useful, train_cost = outcomes.useful[fit_on], outcomes.cost_usd[fit_on]
    test_useful, test_cost = outcomes.useful[test], outcomes.cost_usd[test]
    found: dict[str, Rival] = {}

    def rival(setting: str, out_of_fold: Floats, probs: Floats) -> Rival:
        return Rival(
            setting,
            picked(train_useful, train_cost, trade_off(out_of_fold, expected[0], values)),
            picked(test_useful, test_cost, trade_off(probs, expected[1], values)),
        )

    everybody = np.arange(len(fit_on))
    for name, fit in PEERS.items():
        held_out: dict[str, Floats] = {}
        for fold in np.unique(folds):
            inside, outside = everybody[folds != fold], everybody[folds == fold]
            rows, at = one.embeddings[fit_on[inside]], one.embeddings[fit_on[outside]]
            for setting, probs in fit(rows, train_useful[inside], at):
                held_out.setdefault(setting, np.full(train_useful.shape, np.nan))[outside] = probs
        final = dict(fit(one.embeddings[fit_on], train_useful, one.embeddings[test]))
        complete = {setting: probs for setting, probs in held_out.items() if np.isfinite(probs).all()}
        rivals = (rival(setting, probs, final[setting]) for setting, probs in complete.items())
        found[name] = max(rivals, key=lambda candidate: area(candidate.train, before))
    labels = intent_labels(outcomes.intent[fit_on])
    codes, asked = (np.maximum(labels.code(outcomes.intent[at]), 0) for at in (fit_on, test))
    by_intent = np.empty(train_useful.shape)
    for fold in np.unique(folds):
        by_intent[folds == fold] = intents(codes[folds != fold], train_useful[folds != fold], codes[folds == fold])
    found["best_per_intent"] = rival("labelled intents", by_intent, intents(codes, train_useful, asked))
    found["random_same_cost"] = Rival(
        "",
        mixtures(train_useful, train_cost, train_useful, train_cost),
        mixtures(train_useful, train_cost, test_useful, test_cost),
    )
    hindsight = knob(test_cost)
    known = (
        picked(useful, cost, trade_off(useful, cost, hindsight))
        for useful, cost in ((train_useful, train_cost), (test_useful, test_cost))
    )
    found["oracle"] = Rival("knows the outcomes", *known)
    return found


def picked(useful: Floats, cost_usd: Floats, chosen: NDArray[np.intp]) -> Path:
    """Return what the chosen columns, (s, n), give of the (n, m) outcomes."""
    rows = np.arange(len(useful))
    return Path(useful[rows, chosen].astype(np.float32), cost_usd[rows, chosen].astype(np.float32))


def mixtures(train_useful: Floats, train_cost: Floats, useful: Floats, cost_usd: Floats) -> Path:
    """Return what random mixtures of two single models give in expectation: those on the training part's hull."""
    level, price = train_useful.mean(axis=0), train_cost.mean(axis=0)
    values = np.geomspace(price.min() * 1e-2, price.max() * 1e3, 2000)
    corners = list(dict.fromkeys(int(column) for column in (values[:, None] * level - price).argmax(axis=1)))
    shares = np.linspace(0, 1, 101)[:, None]
    parts = [
        [(1 - shares) * part[:, low] + shares * part[:, high] for part in (useful, cost_usd)]
        for low, high in zip(corners, corners[1:] or corners, strict=False)
    ]
    joined = (np.concatenate([part[index] for part in parts]).astype(np.float32) for index in (0, 1))
    return Path(*joined)


def deployed(rival: Rival, before: Reference, unseen: Reference, margin: float) -> tuple[Floats, Floats]:
    """Return what the unseen requests get at the cheapest setting that was useful enough on the training part."""
    useful, cost = rival.train.means()
    best_useful, best_cost = (float(ends[1]) for ends in before.ends.means())
    enough = np.flatnonzero((useful >= best_useful - margin) & (cost <= best_cost))
    if not len(enough):
        return unseen.ends.useful[1], unseen.ends.cost_usd[1]
    setting = enough[cost[enough].argmin()]
    return rival.test.useful[setting], rival.test.cost_usd[setting]


def promise(useful: Floats, cost: Floats, unseen: Reference, margin: float) -> dict[str, Any]:
    """Return the change against the best single model, the share of its cost saved, and whether too much was lost."""
    best_useful, best_cost = (float(ends[1]) for ends in unseen.ends.means())
    change = float(useful.mean(dtype=np.float64)) - best_useful
    share = 1 - float(cost.mean(dtype=np.float64)) / best_cost
    return {"useful": change, "saved": share, "broken": change < -margin - 1e-9}


if __name__ == "__main__":
    main()
