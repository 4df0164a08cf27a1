"""pointsman against its peers on real outcomes: the same splits, embeddings, intents and expected costs for everybody.

    python tests/benchmarks/peers.py [--sets NAME ...] [--splits 5] [--data DIR] [--cache DIR] [--json FILE]

Every method predicts P(useful) of each candidate and goes where ``value·P(useful) − expected cost`` is largest. Peers
choose their settings on out-of-fold predictions of the training part. Two comparisons:

- deployed: the knob is set on the training part. A peer's users take the cheapest setting that was there as useful as
  the best single model, minus the margin; pointsman searches under the same constraint at 95 % confidence.
- hindsight: the knob is set on the unseen part, for everybody alike, and again in each bootstrap resample: what the
  predictions are worth, whatever sets the knob. `area` is the mean usefulness bought, in points against the best single
  model, over spendings from the cheapest to the best single model's.

`best_per_intent` is told the labelled intent of unseen requests; pointsman has to predict it, but for the row that is
told it too. `random_same_cost` mixes two single models. `oracle` knows the outcomes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path as Folder
from typing import Any

import numpy as np
from frontier import Path, Reference, area, bootstrap, knob, measures, trade_off
from numpy.typing import NDArray
from outcome_sets import OutcomeSet, Split, read_set, splits
from peer_tables import render
from peers_of_pointsman import PEERS, intents
from pointsman_row import Learned, learn, pointsman_policy, routing_spec, trust_of, value_path

from pointsman.encoders import TransformerEncoder
from pointsman.labels import intent_labels

MARGINS = (0.01, 0.0)

Floats = NDArray[np.floating[Any]]


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Folder, default=Folder(os.environ.get("POINTSMAN_DATA", "../shared/data")))
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--splits", type=int, default=5, help="random splits beside the one by time")
    parser.add_argument("--trials", type=int, default=100, help="of pointsman's search")
    parser.add_argument("--replicates", type=int, default=500, help="of the bootstrap")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Folder, help="keep the embeddings here for the next run")
    parser.add_argument("--json", type=Folder, help="write every figure here")
    args = parser.parse_args()
    folder = args.data / "routing"
    if not folder.is_dir():
        sys.exit(f"{folder}: no outcome sets there; set POINTSMAN_DATA or --data")
    names = args.sets or sorted(path.parent.name for path in folder.glob("*/traces.parquet"))
    encoder, found = TransformerEncoder(), {}
    with tempfile.TemporaryDirectory() as work:
        for name in names:
            one = read_set(folder / name, encoder, args.cache or Folder(work))
            ids = encoder.token_ids(list(one.outcomes.prompt))
            runs = []
            for split in splits(one.outcomes, args.splits, args.seed):
                sys.stderr.write(f"{name}, {split.name}\n")
                learned = learn(one, split, encoder, ids)
                runs.append(compare(one, split, learned, args.trials, args.replicates, args.seed))
            found[name] = runs
            sys.stdout.write(render(name, runs, MARGINS))
            sys.stdout.flush()
    if args.json:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


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


def compare(one: OutcomeSet, split: Split, learned: Learned, trials: int, replicates: int, seed: int) -> dict[str, Any]:
    """Return every figure of one split: by method the deployed points, the hindsight measures, pointsman minus it."""
    train, test = one.outcomes.take(split.train), one.outcomes.take(split.test)
    best = int(train.useful.mean(axis=0).argmax())
    before, unseen = (Reference.of(part.useful, part.cost_usd, best) for part in (train, test))
    rivals = methods(one, split, learned, before)
    paths = {name: rival.test for name, rival in rivals.items()}
    resampled = bootstrap(paths, unseen, MARGINS, replicates, seed)
    own = resampled["pointsman"]
    found: dict[str, Any] = {}
    for name, rival in rivals.items():
        point = measures(rival.test, unseen, MARGINS)
        found[name] = {
            "setting": rival.setting,
            "hindsight": {key: float(value) for key, value in point.items()},
            "pointsman_minus": {key: interval(own[key] - resampled[name][key]) for key in point},
        }
        if name in {"oracle", "pointsman, told intents"}:
            continue
        found[name]["deployed"] = {}
        for margin in MARGINS:
            if name == "pointsman":
                chosen = pointsman_policy(learned, routing_spec(one, margin), trials, seed)
                served = picked(test.useful, test.cost_usd, chosen[None])
                useful, cost = served.useful[0], served.cost_usd[0]
            else:
                useful, cost = deployed(rival, before, unseen, margin)
            found[name]["deployed"][f"{margin:g}"] = promise(useful, cost, unseen, margin)
    return {"split": split.name, "train": len(split.train), "test": len(test), "methods": found}


def methods(one: OutcomeSet, split: Split, learned: Learned, before: Reference) -> dict[str, Rival]:
    """Fit every method; pointsman first, then the peers, then what is no method."""
    outcomes, fit_on, test, folds = one.outcomes, split.train, split.test, split.folds
    train_useful, train_cost = outcomes.useful[fit_on], outcomes.cost_usd[fit_on]
    test_useful, test_cost = outcomes.useful[test], outcomes.cost_usd[test]
    # Expected costs are pointsman's, by what was learned without the request: what is compared is the choice.
    expected = learned.expected_usd, np.asarray(learned.unseen.cost_usd.T)
    values = knob(expected[0])
    trust = trust_of(learned, values)
    found = {
        "pointsman": Rival(
            f"trust={trust:g}, deviation={learned.crossed.deviation:g}",
            value_path(learned.seen, learned.outcomes, trust, values),
            value_path(learned.unseen, outcomes.take(test), trust, values),
        )
    }
    told = value_path(learned.told, outcomes.take(test), trust, values)
    found["pointsman, told intents"] = replace(found["pointsman"], test=told)

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
            for setting, predict in fit(one.embeddings[fit_on[inside]], train_useful[inside]):
                probs = held_out.setdefault(setting, np.full(train_useful.shape, np.nan))
                probs[outside] = predict(one.embeddings[fit_on[outside]])
        complete = {setting: probs for setting, probs in held_out.items() if np.isfinite(probs).all()}
        final = dict(fit(one.embeddings[fit_on], train_useful))
        rivals = (rival(key, probs, final[key](one.embeddings[test])) for key, probs in complete.items())
        found[name] = max(rivals, key=lambda candidate: float(area(candidate.train, before)))
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
    best = int(train_useful.mean(axis=0).argmax())
    found["best single"] = Rival(outcomes.models[best], before.ends, Reference.of(test_useful, test_cost, best).ends)
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
    """Return the change against the best single model, its paired normal interval, and whether it was too large."""
    apart = useful.astype(np.float64) - unseen.ends.useful[1]
    half = 1.96 * float(apart.std(ddof=1)) / np.sqrt(len(apart))
    change = float(apart.mean())
    share = 1 - float(cost.mean(dtype=np.float64)) / float(unseen.ends.cost_usd[1].mean(dtype=np.float64))
    return {"useful": change, "low": change - half, "high": change + half, "saved": share, "broken": change < -margin}


def interval(drawn: Floats) -> dict[str, float]:
    """Return the mean of a bootstrapped difference and its 95 % percentile interval."""
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"mean": float(drawn.mean()), "low": float(low), "high": float(high)}


if __name__ == "__main__":
    main()
