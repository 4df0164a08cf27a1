"""Replay a bundle from disk on a trace table, leaving out the requests it was fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.decide import Reading, believe, decide
from pointsman.errors import SpecError, TraceError
from pointsman.estimated import from_logs, usable
from pointsman.fit import Progress, silent
from pointsman.inputs import known_outcomes, unseen
from pointsman.replay import baseline_columns, facts_of
from pointsman.report import before_after
from pointsman.reporting.examples import examples_of
from pointsman.router import Router

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.outcomes import Outcomes
    from pointsman.policy import Policy
    from pointsman.spec import RoutingSpec
    from pointsman.traces import TraceTable

__all__ = ["replay_bundle", "replay_examples"]


def replay_bundle(
    bundle: Path, traces: TraceTable, spec: RoutingSpec, seed: int = 0, progress: Progress | None = None
) -> dict[str, Any]:
    """Return the before/after report of a bundle (see `pointsman.report.before_after`).

    ``left_out`` counts requests that took part in the fit (``seen``) and those that lack an outcome (``incomplete``).

    Raises
    ------
    SpecError
        Where the spec's candidates are not the bundle's.
    TraceError
        Where no request is left.
    """
    return _replayed(bundle, traces, spec, seed, progress)[0]


def replay_examples(
    bundle: Path, traces: TraceTable, spec: RoutingSpec, seed: int = 0, progress: Progress | None = None
) -> tuple[dict[str, Any], list[str], list[dict[str, Any]]]:
    """Return the report, the prompts that it rests on, and a few of the requests (see `pointsman.reporting.examples`).

    There are no examples where outcomes are estimated: what a request lost is not known then.
    """
    report, kept, reading, policy = _replayed(bundle, traces, spec, seed, progress)
    examples: list[dict[str, Any]] = []
    if report["off_policy"] is None:
        chosen = decide(believe(reading, facts_of(kept), policy), policy.rule)
        examples = examples_of(kept, baseline_columns(kept, report["baseline"]), chosen)
    return report, [str(prompt) for prompt in kept.prompt], examples


def _replayed(
    bundle: Path, traces: TraceTable, spec: RoutingSpec, seed: int, progress: Progress | None
) -> tuple[dict[str, Any], Outcomes, Reading, Policy]:
    """Return the report with the requests, what was read in them, and the policy that it is of."""
    say = progress or silent
    router = Router.load(bundle, threads=0)
    if set(spec.candidates) != set(router.policy.models):
        theirs, ours = ", ".join(router.policy.models), ", ".join(spec.candidates)
        raise SpecError(f"the spec's candidates are not the bundle's: {ours}; the bundle has {theirs}")
    outcomes = known_outcomes(traces, spec, at_least=1)
    fresh = unseen(outcomes, router.bundle.seen)
    logs = from_logs(outcomes)
    there = usable(outcomes) if logs else outcomes.complete
    kept = outcomes.take(fresh & there).reorder(router.policy.models)
    if len(kept) == 0:
        raise TraceError(
            f"none of the {len(outcomes)} requests is unseen and complete: {int((~fresh).sum())} took part in the fit"
        )
    reading = router.read(list(kept.prompt), progress=lambda done, total: say("certify", done, total))
    report = before_after(kept, reading, router.policy, spec, seed, logs=logs)
    left_out = {"seen": int((~fresh).sum()), "incomplete": int((fresh & ~there).sum())}
    told = {**report, "left_out": left_out, "bundle": router.bundle.manifest["provenance"]["run_id"]}
    return told, kept, reading, router.policy
