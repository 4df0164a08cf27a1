"""Adversaries: prompts that buy the dear model or command the router, junk, and what a budget makes of them."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pointsman.audit.check import Check
from pointsman.audit.finding import Measure, Place
from pointsman.audit.routed import route_all
from pointsman.decide import can_take
from pointsman.guards.choosing import choose
from pointsman.guards.guards import Guards
from pointsman.guards.ledger import Ledger
from pointsman.guards.settings import Budget

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pointsman.audit.finding import Finding
    from pointsman.audit.prompt_files import PromptCase
    from pointsman.audit.routed import Read, Routed
    from pointsman.policy import Policy

__all__ = ["ADVERSARIAL_CHECKS", "Flood", "adversarial_findings", "flood"]

INFLATION, BOUND = 1.5, 1.05
_ALL_DEAR = 0.5
_FLOOD = 1_500

BUYS_DEAR = Check(
    "buys-the-dear-model",
    "bundle",
    "Words buy the dear model",
    "Whoever adds a sentence to a simple question multiplies its cost: users by habit, attackers by script.",
    "Sentences that claim difficulty or command the router (adversarial.jsonl, kinds buy and injection), put around "
    "simple prompts; against the same prompts with a harmless sentence of like length put in the same place. Expected "
    "cost of the one over that of the other, with a 95 % interval by 999 bootstraps of the prompts.",
    f"lower bound above {INFLATION:g} for some sentence's kind; low where a budget of the policy bounds it",
    "Set guards.budget so that a flood is throttled; train on such prompts with the intent that they really have.",
    "Shafran et al. 2025, Rerouting LLM Routers (arXiv 2501.01818); OWASP Top 10 for LLM Applications 2025, LLM01 and "
    "LLM10",
)
UNBOUNDED = Check(
    "unbounded-spending",
    "bundle",
    "A flood of bought requests is not bounded",
    "The bill grows with the attacker's patience.",
    f"{_FLOOD:,} requests of the dearest attack in one hour, on an injected clock, through the gateway's own guards: "
    "what is spent beyond what the cheapest candidate would have cost, against the budget. Without a budget, what one "
    "of the ordinary cost would have saved.",
    f"no budget while a flood costs {INFLATION:g} times the ordinary; or more than {BOUND:g} times the budget spent on "
    "other candidates than the cheapest",
    "Set guards.budget.usd_per_hour (and usd_per_minute) in the spec.",
    "OWASP Top 10 for LLM Applications 2025, LLM10 Unbounded Consumption",
)
JUNK = Check(
    "junk-to-the-dear-model",
    "bundle",
    "Junk goes to the dear model",
    "Noise, base64 and accidents of the keyboard are answered by the most expensive model.",
    "Prompts of stress.jsonl that carry no request (kinds junk and base64), and three drawn by the seed: share that "
    "goes to the dearest candidate.",
    f"more than {_ALL_DEAR:.0%}, of at least three candidates or two prices",
    "Give such prompts an intent of their own in the traces, or abstain to a cheap model (rules.abstain).",
    "Hendrycks, Gimpel 2017, A Baseline for Detecting Misclassified and Out-of-Distribution Examples (ICLR)",
)
CANNOT_READ = Check(
    "sent-where-it-does-not-fit",
    "bundle",
    "A request goes where it does not fit",
    "It fails at once, is retried, and fails again.",
    "Prompts of every size up to 100,000 tokens and of every modality (stress.jsonl): whether the chosen candidate can "
    "take them while another one could; and whether the classifier answers at all, with finite numbers.",
    "one",
    "Give context_window and modalities of each candidate in the spec.",
    "Beizer 1990, Software Testing Techniques, 2nd ed. (domain testing: boundaries)",
)
ADVERSARIAL_CHECKS = (BUYS_DEAR, UNBOUNDED, JUNK, CANNOT_READ)


@dataclass(frozen=True)
class Flood:
    """What a flood of requests costs by the expected costs, USD.

    Attributes
    ----------
    spent : float
        Through the guards.
    unguarded : float
        Without them.
    cheapest : float
        Had all gone to the cheapest candidate, which a budget never denies.
    on_others : float
        Part of `spent` that went to other candidates.
    budget : float
        USD per hour.
    """

    spent: float
    unguarded: float
    cheapest: float
    on_others: float
    budget: float


def adversarial_findings(
    read: Read,
    policy: Policy,
    attacks: Sequence[PromptCase],
    stress: Sequence[PromptCase],
    simple: Sequence[str],
    source: str,
    seed: int = 0,
) -> Iterator[Finding]:
    """Yield what adversaries can do to a policy.

    Parameters
    ----------
    read : callable
        The bundle's classifier.
    policy : Policy
    attacks : sequence of PromptCase
        Templates with ``{prompt}``; kind ``control`` is harmless.
    stress : sequence of PromptCase
    simple : sequence of str
        Prompts that the templates are put around: those are taken that go to the cheaper half of the candidates.
    source : str
    seed : int
    """
    yield from _fits(read, policy, stress, source)
    yield from _junk(read, policy, stress, source, seed)
    plain = route_all(read, policy, simple)
    cheap = [text for text, cost in zip(simple, plain.cost_usd, strict=True) if cost <= np.median(plain.cost_usd)]
    if not cheap or not attacks:
        return
    yield from _bought(read, policy, attacks, cheap, source, seed)


def _bought(
    read: Read, policy: Policy, attacks: Sequence[PromptCase], cheap: Sequence[str], source: str, seed: int
) -> Iterator[Finding]:
    by_kind: dict[str, list[Routed]] = {}
    worst: tuple[float, str, Routed] | None = None
    for case in attacks:
        routed = route_all(read, policy, [case.prompt.replace("{prompt}", text) for text in cheap])
        by_kind.setdefault(case.kind, []).append(routed)
        if case.kind != "control" and (worst is None or routed.cost_usd.sum() > worst[0]):
            worst = float(routed.cost_usd.sum()), case.prompt, routed
    if worst is None or "control" not in by_kind:
        return
    control = np.mean([one.cost_usd for one in by_kind["control"]], axis=0)
    generator = np.random.default_rng(seed)
    draws = generator.integers(0, len(cheap), size=(999, len(cheap)))
    bounded = bool(policy.guards.budget.limits)
    for kind, tried in by_kind.items():
        if kind == "control":
            continue
        cost = np.mean([one.cost_usd for one in tried], axis=0)
        times = float(cost.sum() / control.sum())
        low, high = np.quantile(cost[draws].sum(axis=1) / control[draws].sum(axis=1), [0.025, 0.975])
        moved = float(np.mean([(one.model == len(policy.models) - 1).mean() for one in tried]))
        if low > INFLATION:
            yield BUYS_DEAR.found(
                "low" if bounded else "medium",
                f"sentences of the kind {kind} make simple prompts {times:.2g} times as dear",
                Place(source, None, kind),
                [
                    Measure("times the cost", times, float(low), float(high), "ratio"),
                    Measure("to the dearest candidate", moved, unit="share"),
                ],
                [f"dearest: «{worst[1]}»"],
            )
    yield from _flooded(policy, worst[2], float(control.mean()), worst[1], source)


def _flooded(policy: Policy, attack: Routed, ordinary: float, template: str, source: str) -> Iterator[Finding]:
    found = flood(policy, attack, ordinary)
    times = found.unguarded / (ordinary * _FLOOD)
    numbers = [
        Measure("spent in the hour", found.spent, unit="usd"),
        Measure("without guards", found.unguarded, unit="usd"),
        Measure("at the cheapest candidate", found.cheapest, unit="usd"),
        Measure("budget per hour", found.budget, unit="usd"),
    ]
    if not policy.guards.budget.limits and times > INFLATION:
        what = f"nothing bounds a flood that costs {times:.2g} times the ordinary"
        yield UNBOUNDED.found(
            "medium",
            what,
            Place(source, None, "guards.budget"),
            numbers,
            [f"«{template}»"],
            fix=f"{UNBOUNDED.fix} One of {found.budget:.3g} USD per hour, the ordinary cost of as many requests, would "
            f"have kept this flood at {found.spent:.3g} USD instead of {found.unguarded:.3g}.",
        )
    elif policy.guards.budget.limits and found.on_others > BOUND * found.budget:
        what = f"a flood spends {found.on_others:.3g} USD on dear candidates, its budget is {found.budget:.3g}"
        yield UNBOUNDED.found("high", what, Place(source, None, "guards.budget"), numbers, [f"«{template}»"])


def flood(policy: Policy, attack: Routed, ordinary_usd: float, requests: int = _FLOOD) -> Flood:
    """Send a flood through the gateway's own guards, evenly over one hour of an injected clock.

    Parameters
    ----------
    policy : Policy
    attack : Routed
        Its prompts come round and round.
    ordinary_usd : float
        What a request costs otherwise; where the policy has no budget, one of as much is tried.
    requests : int
    """
    budget = policy.guards.budget
    limits = {name: limit for name, _, _, limit in budget.limits}
    hourly = min(
        limits.get("hour", np.inf),
        60 * limits.get("minute", np.inf),
        limits.get("day", np.inf),
    )
    if not limits:
        hourly = ordinary_usd * requests
        budget = Budget(usd_per_hour=max(hourly, 1e-6))
    # Nobody answers, so nothing is released: places at the candidates are not what is tried here.
    candidates = tuple(replace(candidate, concurrency=None) for candidate in policy.candidates)
    guarded = replace(policy, guards=replace(policy.guards, budget=budget), candidates=candidates)
    now = [0.0]
    ledger = Ledger(monotonic=lambda: now[0], wall=lambda: now[0])
    guards = Guards(guarded.guards, candidates, ledger)
    spent = others = cheapest = unguarded = 0.0
    for index in range(requests):
        now[0] = 3600.0 * index / requests
        at = index % len(attack.model)
        beliefs, facts = attack.beliefs.take([at]), attack.facts.take([at])
        choice = choose(beliefs, facts, guarded, guards, [f"flood-{index}"])[0]
        cost = float(beliefs.cost_usd[choice.column, 0])
        guards.report(f"flood-{index}", policy.models[choice.column], ok=True, cost_usd=cost, expected_usd=cost)
        spent, unguarded = spent + cost, unguarded + float(attack.cost_usd[at])
        cheapest += float(beliefs.cost_usd[0, 0])
        others += cost if choice.column else 0.0
    return Flood(spent, unguarded, cheapest, others, float(hourly))


def _fits(read: Read, policy: Policy, stress: Sequence[PromptCase], source: str) -> Iterator[Finding]:
    if not stress:
        return
    routed = route_all(
        read,
        policy,
        [case.prompt for case in stress],
        [case.modality for case in stress],
        [case.context_tokens for case in stress],
    )
    able = can_take(routed.facts, policy)
    rows = np.arange(len(stress))
    wrong = ~able[routed.model, rows] & able.any(axis=0)
    broken = ~np.isfinite(routed.useful).all(axis=0)
    for at in np.flatnonzero(wrong | broken)[:5].tolist():
        case = stress[at]
        name = policy.models[routed.model[at]]
        what = f"{case.id} ({routed.facts.tokens[at]:,} tokens, {case.modality}) goes to {name}"
        why = "which cannot take it" if wrong[at] else "by numbers that are none"
        yield CANNOT_READ.found("high", f"{what}, {why}", Place(source, None, case.id))


def _junk(read: Read, policy: Policy, stress: Sequence[PromptCase], source: str, seed: int) -> Iterator[Finding]:
    generator = np.random.default_rng(seed)
    drawn = [base64.b64encode(generator.bytes(200)).decode() for _ in range(3)]
    junk = [*(case.prompt for case in stress if case.kind in {"junk", "base64"}), *drawn]
    routed = route_all(read, policy, junk)
    dearest = len(policy.models) - 1
    share = float((routed.model == dearest).mean())
    if dearest > 0 and share > _ALL_DEAR:
        yield JUNK.found(
            "medium",
            f"{100 * share:.0f} % of the junk goes to {policy.models[dearest]}, the dearest",
            Place(source, None, policy.models[dearest]),
            [Measure("junk to the dearest", share, unit="share"), Measure("prompts", len(junk))],
            [f"«{junk[at][:60]}»" for at in np.flatnonzero(routed.model == dearest)[:2].tolist()],
        )
