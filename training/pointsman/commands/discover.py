"""``pointsman discover``: what fresh traces hold that nobody labelled, and labels that look wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

NAME = "discover"
HELP = (
    "Look for new intents (clusters of prompts unlike what the bundle learned from), suspicious intent labels, prompts "
    "whose label would help most, and what can be said of a new model. Prompts are shown."
)
EXAMPLE = (
    "pointsman discover --bundle exported/bundles/champion --traces week2.parquet --name 3f2a91c0=travel_booking "
    "--labels labels.csv"
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    from pointsman.commands.fit import positive

    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle that serves")
    parser.add_argument("--traces", type=Path, required=True, help="fresh trace table")
    parser.add_argument(
        "--name", action="append", default=[], metavar="CLUSTER=INTENT", help="name a cluster shown before"
    )
    parser.add_argument("--names", type=Path, help="the same in a YAML file: a mapping of clusters to intents")
    parser.add_argument(
        "--labels", type=Path, help="write a CSV for `retrain --labels`: named clusters, and empty rows to fill in"
    )
    parser.add_argument("--ask", type=positive, default=20, help="prompts to ask people about (default 20)")
    parser.add_argument("--newcomer", metavar="MODEL", help="a model with few answers in the traces, or none")
    parser.add_argument("--like", metavar="MODEL", help="a model that the newcomer resembles")
    parser.add_argument(
        "--model", help="sentence-transformers model that embeds prompts (default: the packaged MiniLM)"
    )
    parser.add_argument(
        "--cache", type=Path, default=Path("~/.cache/pointsman"), help="folder of embeddings (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    parser.add_argument("--json", type=Path, help="write everything that was found here")


def run(args: Namespace) -> int:
    """Look, and show."""
    import numpy as np

    from pointsman.encoders import TransformerEncoder, cached_encode
    from pointsman.outcomes import requests_of
    from pointsman.retraining.asking import worth_asking
    from pointsman.retraining.label_noise import suspicious
    from pointsman.retraining.naming import write_labels
    from pointsman.retraining.novelty import named_requests, novel_clusters, strangeness
    from pointsman.router import Router
    from pointsman.traces import read_traces

    router, rows = Router.load(args.bundle, threads=0), read_traces(args.traces).rows
    names = _names(args)
    found: dict[str, Any] = {}
    if args.newcomer:
        found["newcomer"] = _newcomer(rows, args.newcomer, args.like)
    heads = requests_of(rows)
    ids, prompts = [str(one) for one in heads.index], [str(text) for text in heads["prompt"]]
    told = heads["intent"].to_numpy(dtype=object)
    reading = router.read(prompts)
    encoder = TransformerEncoder(args.model)
    embeddings, strange = cached_encode(encoder, prompts, args.cache.expanduser()), strangeness(reading)
    unlabelled = told == ""
    at = np.flatnonzero(unlabelled)
    few = novel_clusters([prompts[one] for one in at], embeddings[at], strange[at])
    clusters = few if len(at) else []
    named = named_requests(clusters, names, [ids[one] for one in at])
    found["clusters"] = [one.to_dict([prompts[place] for place in at]) for one in clusters]
    _say(f"New intents: {len(clusters)} clusters among {len(at):,} requests without a label.")
    for one in found["clusters"]:
        _say(f"\n  {one['name']}  {one['requests']:,} requests; {', '.join(one['words'])}")
        for text in one["examples"]:
            _say(f"    {_short(text)}")
    position = {name: code for code, name in enumerate(router.policy.intents)}
    codes = np.array([position.get(str(name), -1) for name in told], dtype=np.intp)
    doubted = suspicious(reading.intent_probs, codes)
    if doubted is None:
        _say("\nIntent labels: not looked at (extra [labels], and at least 50 labelled requests are needed).")
    else:
        many = max(int((codes >= 0).sum()), 1)
        _say(f"\nIntent labels: {len(doubted):,} of {many:,} are suspicious ({len(doubted) / many:.1%}); the worst:")
        believed = np.asarray(router.policy.intents)[np.asarray(reading.intent_probs).argmax(axis=1)]
        found["suspicious"] = [
            {"request_id": ids[one], "label": str(told[one]), "believed": str(believed[one])} for one in doubted
        ]
        for one in doubted[:10]:
            _say(f"  {ids[one]}: {told[one]}, or {believed[one]}?  {_short(prompts[one])}")
    left = np.array([empty and one not in named for one, empty in zip(ids, unlabelled, strict=True)], dtype=np.bool_)
    asked = worth_asking(reading, strange, embeddings, left, args.ask, args.seed)
    found["ask"] = [ids[one] for one in asked]
    if len(asked):
        _say("\nLabels that would help most (small margin between two intents, or strange; no two alike):")
    for one in asked:
        _say(f"  {ids[one]}: {_short(prompts[one])}")
    if args.labels:
        text = dict(zip(ids, prompts, strict=True))
        filled = [{"request_id": one, "intent": intent, "prompt": text[one]} for one, intent in named.items()]
        empty = [{"request_id": ids[one], "intent": "", "prompt": prompts[one]} for one in asked]
        _say(f"\nlabels: {write_labels(args.labels, [*filled, *empty])}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


def _names(args: Namespace) -> dict[str, str]:
    from pointsman.documents import read_file
    from pointsman.errors import ConfigError

    names: dict[str, str] = {}
    if args.names is not None:
        document, _ = read_file(args.names, ConfigError)
        if not isinstance(document, dict):
            raise ConfigError(f"{args.names}: a mapping of clusters to intents is needed")
        names |= {str(key): str(value) for key, value in document.items()}
    for text in args.name:
        cluster, apart, intent = text.partition("=")
        if not apart or not cluster or not intent.strip():
            raise ConfigError(f"--name {text!r}: CLUSTER=INTENT is needed")
        names[cluster] = intent.strip()
    return names


def _newcomer(traces: Any, model: str, like: str | None) -> dict[str, Any]:
    """Show what is known of a new model."""
    from pointsman.console import show_table
    from pointsman.retraining.newcomer import answers_to_compare, newcomer

    estimates = newcomer(traces, model, like)
    own = sum(one.answers for one in estimates)
    basis = f"{own:,} answers of its own" + (f" and its likeness to {like}" if like else "")
    _say(f"{model}: from {basis}; 95 % credible intervals. Not certified: replay it to route to it.")
    rows = [
        (one.intent or "(none)", str(one.answers), f"{one.useful:.0%}", f"{one.low:.0%}", f"{one.high:.0%}")
        for one in estimates
    ]
    show_table([("intent", "own answers", "useful", "from", "to"), *rows])
    needed = answers_to_compare(sum(one.useful for one in estimates) / len(estimates))
    _say(f"To tell 5 points from another model: about {needed:,} replayed answers.\n")
    return {"model": model, "like": like, "answers": own, "intents": [one.to_dict() for one in estimates]}


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else line[:99] + "…"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
