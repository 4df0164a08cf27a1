"""``pointsman explain``: why one prompt goes where it goes. Needs the slim install only, and rich for its tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Sequence

    from pointsman.explaining.explanation import CandidateView, Explanation
    from pointsman.explaining.words import Word

NAME = "explain"
HELP = (
    "Explain one decision: intents, what each candidate is believed to do and cost, the words that moved the choice, "
    "and what would have to change for another model."
)
EXAMPLE = 'pointsman explain --bundle exported/bundles/week "compare these two contracts"'

SHOWN_WORDS = 8


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("text", help="the prompt; - reads it from standard input")
    parser.add_argument("--modality", default="text", help="text (default), image or audio")
    parser.add_argument(
        "--context-tokens", type=int, default=0, help="history and documents beyond the prompt (default 0)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")


def run(args: Namespace) -> int:
    """Explain and print."""
    from pointsman.explaining.explanation import explain
    from pointsman.guards.ledger import Ledger
    from pointsman.live import LiveBundle

    live = LiveBundle.load(args.bundle, Ledger())
    prompt = sys.stdin.buffer.read() if args.text == "-" else args.text
    found = explain(live, prompt, modality=args.modality, context_tokens=args.context_tokens)
    if args.json:
        sys.stdout.write(json.dumps(found.to_dict(), ensure_ascii=False) + "\n")
        return 0
    _show(found)
    return 0


def _show(found: Explanation) -> None:
    from pointsman.console import show_table

    decision = found.decision
    sys.stdout.write(f"{decision.model}: {decision.reason}\n")
    if found.next_in_line is not None:
        sys.stdout.write(f"next in line: {found.next_in_line}\n")
    sys.stdout.write("\nIntents, by probability\n")
    show_table([("intent", "probability"), *((name, f"{share:.3f}") for name, share in found.intents)], strong=(1,))
    sys.stdout.write("\nCandidates, cheap to dear\n")
    chosen = [one.model for one in found.candidates].index(decision.model)
    show_table(list(_candidate_cells(found.candidates, found.rule)), strong=(1 + chosen,))
    if found.words:
        pair = decision.model if found.next_in_line is None else f"{decision.model} over {found.next_in_line}"
        sys.stdout.write(f"\nWords that moved the choice: what each adds to the advantage of {pair}\n")
        show_table(list(_word_cells(found.words, decision.model)))
    sys.stdout.write("\nIt would go elsewhere with one of these changed\n")
    changes = [(one.change, one.model) for one in found.elsewhere]
    show_table([("change", "then to"), *(changes or [("nothing that was tried", "–")])])


def _candidate_cells(candidates: Sequence[CandidateView], rule: str) -> Iterator[Sequence[str]]:
    from pointsman.tables import usd

    bar = "has to clear" if rule == "ladder" else "net value, USD"
    yield "candidate", "P(useful)", "by prompt", "by intent", bar, "cost, USD", "USD per useful", "P(late)", ""
    for one in candidates:
        wanted = "–" if one.bar is None else (f"{one.bar:.3f}" if rule == "ladder" else usd(one.bar))
        yield (
            one.model,
            f"{one.p_useful:.3f}",
            f"{one.from_prompt:.3f}",
            f"{one.from_intent:.3f}",
            wanted,
            usd(one.cost_usd),
            usd(one.usd_per_useful),
            f"{one.p_late:.3f}",
            one.why_not,
        )


def _word_cells(words: Sequence[Word], model: str) -> Iterator[Sequence[str]]:
    yield "word", "advantage", "P(intent)", "without it"
    for one in words[:SHOWN_WORDS]:
        text = one.text if len(one.text) <= 40 else f"{one.text[:25]}…{one.text[-12:]}"
        elsewhere = "the same" if one.model_without == model else one.model_without
        yield " ".join(text.split()), f"{one.advantage:+.3f}", f"{one.confidence:+.3f}", elsewhere
