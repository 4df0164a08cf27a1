"""Brittleness: how many decisions flip when a prompt is spelt, spaced or phrased otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest

from pointsman.audit.check import Check
from pointsman.audit.finding import Measure, Place
from pointsman.audit.perturb import CHANGING, KINDS, perturbed
from pointsman.audit.routed import route_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pointsman.audit.finding import Finding
    from pointsman.audit.prompt_files import PromptCase
    from pointsman.audit.routed import Read, Routed
    from pointsman.policy import Policy

__all__ = ["BRITTLE", "Flips", "brittleness", "brittleness_findings", "brittleness_table"]

KEPT, CHANGED, GRAVE = 0.10, 0.25, 0.25
_WORST = 3

BRITTLE = Check(
    "brittle-routing",
    "bundle",
    "A typo changes where a request goes",
    "Two users who ask the same are served by different models, and nobody can reproduce a complaint.",
    "Prompts of the kept set (brittleness.jsonl, whose variants a person wrote) and of the traces that the bundle has "
    "not seen, changed in one way each: typos, case, whitespace, punctuation, politeness around them, truncation, an "
    "appended instruction. Share of decisions that flip (Wilson interval, prompts counted), by kind and by intent, and "
    "the believed usefulness lost by it.",
    f"lower bound above {KEPT:.0%} where the meaning is kept, above {CHANGED:.0%} for truncation and appended "
    f"instructions; high from {GRAVE:.0%} on where it is kept",
    "Normalise what carries no meaning before training and serving, train on perturbed prompts too, or trust per-query "
    "evidence less (rule.trust).",
    "Ribeiro et al. 2020, Beyond Accuracy: Behavioral Testing of NLP Models with CheckList (ACL): invariance tests",
)


@dataclass(frozen=True, eq=False)
class Flips:
    """Decisions before and after one kind of change; n prompts and what became of them."""

    kind: str
    before: Routed
    after: Routed
    prompts: Sequence[str]
    changed: Sequence[str]

    @property
    def flipped(self) -> NDArray[np.bool_]:
        """Which decisions changed, (n,)."""
        return np.asarray(self.before.model != self.after.model)

    @property
    def share(self) -> tuple[float, float, float]:
        """Share of decisions that flip, and its 95 % Wilson interval."""
        hits = int(self.flipped.sum())
        interval = binomtest(hits, len(self.prompts)).proportion_ci(0.95, method="wilson")
        return hits / len(self.prompts), float(interval.low), float(interval.high)

    @property
    def lost(self) -> NDArray[np.float64]:
        """Believed P(useful) that each flip loses, by what was believed of the unchanged prompt, (n,)."""
        rows, before = np.arange(len(self.prompts)), self.before
        loss: Any = before.useful[before.model, rows] - before.useful[self.after.model, rows]
        return np.where(self.flipped, loss, 0.0)

    def worst(self, most: int = _WORST) -> list[str]:
        """Return the flips that change the cost most, in words."""
        change = np.abs(self.after.cost_usd - self.before.cost_usd)
        order = [at for at in np.argsort(-change).tolist() if self.flipped[at]][:most]
        names = self.before.policy.models
        return [
            f"{_short(self.changed[at])}: {names[self.before.model[at]]} -> {names[self.after.model[at]]}"
            for at in order
        ]


def brittleness(
    read: Read, policy: Policy, prompts: Sequence[str], cases: Sequence[PromptCase] = (), seed: int = 0
) -> list[Flips]:
    """Return the flips of each kind of change.

    Parameters
    ----------
    read : callable
        The bundle's classifier.
    policy : Policy
    prompts : sequence of str
        Are changed by rule.
    cases : sequence of PromptCase
        Variants that a person wrote: those with ``expect.same_as`` are held against the case that it names.
    seed : int
    """
    found = []
    bases = {case.id: case for case in cases}
    texts = list(dict.fromkeys([*prompts, *(case.prompt for case in cases if "same_as" not in case.expect)]))
    if texts:
        before = route_all(read, policy, texts)
        for kind in KINDS:
            changed = [perturbed(kind, text, seed) for text in texts]
            found.append(Flips(kind, before, route_all(read, policy, changed), texts, changed))
    written = [case for case in cases if case.expect.get("same_as") in bases]
    for kind in dict.fromkeys(case.kind for case in written):
        pairs = [(bases[case.expect["same_as"]].prompt, case.prompt) for case in written if case.kind == kind]
        ours, theirs = ([pair[side] for pair in pairs] for side in (0, 1))
        sides = [route_all(read, policy, side) for side in (ours, theirs)]
        found.append(Flips(f"{kind} (written)", sides[0], sides[1], ours, theirs))
    return found


def brittleness_findings(flips: Sequence[Flips], source: str) -> Iterator[Finding]:
    """Yield the kinds of change that move too many decisions."""
    for one in flips:
        share, low, high = one.share
        kept = one.kind not in CHANGING
        if low > (KEPT if kept else CHANGED):
            yield BRITTLE.found(
                "high" if kept and low > GRAVE else "medium",
                f"{100 * share:.0f} % of the decisions flip by {one.kind}",
                Place(source, None, one.kind),
                [
                    Measure("flipped", share, low, high, "share"),
                    Measure("prompts", len(one.prompts)),
                    Measure("believed usefulness lost on average", float(one.lost.mean()), unit="points"),
                ],
                one.worst(),
            )


def brittleness_table(flips: Sequence[Flips]) -> tuple[dict[str, Any], ...]:
    """Return the share of flips of each kind, over all prompts and for each intent."""
    rows = []
    for one in flips:
        intents = one.before.beliefs.intent
        for code in (-1, *np.unique(intents).tolist()):
            at = np.ones(len(intents), dtype=bool) if code < 0 else intents == code
            hits = int(one.flipped[at].sum())
            interval = binomtest(hits, int(at.sum())).proportion_ci(0.95, method="wilson")
            rows.append(
                {
                    "kind": one.kind,
                    "intent": None if code < 0 else one.before.policy.intents[code],
                    "prompts": int(at.sum()),
                    "flipped": hits / int(at.sum()),
                    "low": float(interval.low),
                    "high": float(interval.high),
                    "worst": one.worst() if code < 0 else [],
                }
            )
    return tuple(rows)


def _short(text: str) -> str:
    words = " ".join(text.split())
    return f"«{words}»" if len(words) <= 90 else f"«{words[:90]}…»"
