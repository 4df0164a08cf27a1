"""``pointsman intents``: how well a bundle tells the intents of labelled traces apart."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from pointsman.confusion import Confusion

NAME = "intents"
HELP = (
    "Confusion matrix, per-intent precision and recall with intervals, and examples of the worst, on requests that the "
    "bundle has not seen."
)
EXAMPLE = "pointsman intents --bundle exported/bundles/week --traces next_week.parquet --picture confusion.png"

WRITTEN = 12
"""Up to so many intents the matrix itself is printed."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--traces", type=Path, required=True, help="trace table with a column intent")
    parser.add_argument("--all", action="store_true", help="count the requests that the bundle was fitted on, too")
    parser.add_argument("--worst", type=int, default=15, help="intents shown, the worst F1 first (default 15)")
    parser.add_argument("--examples", type=int, default=2, help="prompts shown of each (default 2; 0: none)")
    parser.add_argument("--picture", type=Path, help="draw the confusion matrix here (.png, .svg)")
    parser.add_argument("--json", type=Path, help="write all figures here; no prompt among them")


def run(args: Namespace) -> int:
    """Count and show."""
    import numpy as np

    from pointsman.confusion import confusion
    from pointsman.console import Phases
    from pointsman.errors import TraceError
    from pointsman.outcomes import hash_requests, requests_of
    from pointsman.router import Router
    from pointsman.traces import read_traces

    router = Router.load(args.bundle, threads=0)
    heads = requests_of(read_traces(args.traces).rows)
    heads = heads[heads["intent"] != ""]
    if len(heads) == 0:
        raise TraceError(f"{args.traces}: column intent is missing or empty: there are no labels to compare with")
    ids, times = heads.index.to_numpy(dtype=object), heads["timestamp"].to_numpy(dtype="datetime64[us]")
    fresh = ~np.isin(hash_requests(ids, times), router.bundle.seen)
    kept = heads if args.all else heads[fresh]
    if len(kept) == 0:
        raise TraceError(
            f"{args.traces}: none of the {len(heads):,} labelled requests is unseen by the bundle; "
            "--all counts them too"
        )
    prompts = kept["prompt"].tolist()
    with Phases() as phases:
        reading = router.read(prompts, progress=lambda done, total: phases("certify", done, total))
    labels = kept["intent"].to_numpy(dtype=object)
    found = confusion(labels, reading.intent_probs, router.policy.intents)
    if found.matrix.sum() == 0:
        names = ", ".join(list(found.unknown)[:5])
        raise TraceError(f"{args.traces}: the bundle knows none of the intents there ({names})")
    _show(found, prompts, args.worst, args.examples)
    left = 0 if args.all else int((~fresh).sum())
    if left:
        sys.stdout.write(f"\n{left:,} requests that the bundle was fitted on were left out.\n")
    if args.picture is not None:
        from pointsman.confusion_picture import confusion_picture

        sys.stdout.write(f"picture: {confusion_picture(found, args.picture)}\n")
    if args.json is not None:
        document = {**found.to_dict(), "left_out": left}
        args.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


def _show(found: Confusion, prompts: Sequence[str], worst: int, examples: int) -> None:
    from pointsman.console import show_table

    requests, (value, low, high) = int(found.matrix.sum()), found.accuracy
    sys.stdout.write(f"{value:.1%} [{low:.1%}, {high:.1%}] of {requests:,} labelled requests are told right\n\n")
    quality = found.quality
    rows = [
        (one.intent, f"{one.labelled:,}", _cell(one.precision), _cell(one.recall), f"{one.f1:.3f}")
        for one in quality[:worst]
    ]
    show_table([("intent", "labelled", "precision [95 %]", "recall [95 %]", "F1"), *rows])
    if len(quality) > worst:
        sys.stdout.write(f"… and {len(quality) - worst} intents that are told better\n")
    pairs = found.confused[:8]
    if pairs:
        sys.stdout.write("\nMost often confused\n")
        show_table([("labelled", "taken for", "requests"), *((*pair[:2], f"{pair[2]:,}") for pair in pairs)])
    if len(found.intents) <= WRITTEN:
        sys.stdout.write("\nLabelled (rows) and taken for (columns, in the same order)\n")
        head = ["", *(str(number) for number in range(1, len(found.intents) + 1))]
        body = [
            [f"{number} {name}", *(f"{count:,}" if count else "·" for count in row)]
            for number, (name, row) in enumerate(zip(found.intents, found.matrix.tolist(), strict=True), start=1)
        ]
        show_table([head, *body])
    if found.unknown:
        named = ", ".join(f"{name} ({count:,})" for name, count in list(found.unknown.items())[:8])
        sys.stdout.write(f"\nLabels that the bundle does not know, in no figure above: {named}\n")
    _show_examples(found, prompts, [one.intent for one in quality[:5] if one.f1 < 1], examples)


def _show_examples(found: Confusion, prompts: Sequence[str], intents: Sequence[str], examples: int) -> None:
    """Print the mistakes believed most firmly of each intent."""
    if examples < 1 or not found.mistakes:
        return
    sys.stdout.write("\nMistakes believed most firmly, of the worst intents\n")
    for intent in intents:
        mine = [one for one in found.mistakes if one.labelled == intent][:examples]
        for one in mine:
            text = " ".join(prompts[one.request].split())
            text = text if len(text) <= 100 else f"{text[:97]}…"
            sys.stdout.write(f"  {intent} taken for {one.believed} ({one.confidence:.2f}): {text!r}\n")


def _cell(share: tuple[float, float, float] | None) -> str:
    return "–" if share is None else "{:.3f} [{:.3f}, {:.3f}]".format(*share)
