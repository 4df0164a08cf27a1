"""The champion on fresh requests: how far what happens has moved from what it believes, and what still holds of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.certificate import promises
from pointsman.comparing import compare_bundles, covering, with_gone
from pointsman.decide import believe, decide
from pointsman.errors import TraceError
from pointsman.estimated import from_logs
from pointsman.inputs import known_outcomes, unseen
from pointsman.objective import checks
from pointsman.replay import Served, baseline_columns, facts_of, with_fallbacks
from pointsman.resample import units_of
from pointsman.retraining.drift import DriftTest, shift_test
from pointsman.spec import AS_LOGGED, BEST_SINGLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.decide import Beliefs, Reading
    from pointsman.outcomes import Outcomes
    from pointsman.router import Router
    from pointsman.spec import RoutingSpec
    from pointsman.traces import TraceTable

__all__ = ["Standing", "belief_tests", "standing"]

USEFULNESS_MATTERS, LATE_MATTERS = 0.03, 0.03
"""Least shifts of a model's useful rate and share of late answers that count as drift."""


@dataclass(frozen=True, eq=False)
class Standing:
    """The champion on fresh requests.

    Attributes
    ----------
    outcomes : Outcomes
        n requests that it has not seen, columns in its policy's order; those of models that are gone fail.
    reading : Reading
        Of the n prompts, by its own graph.
    beliefs : Beliefs
    promises : list of dict
        Each constraint of the spec on the requests whose outcomes are known: see `pointsman.certificate.Promise`, with
        ``verdict``: kept (the bound keeps the limit), refuted (proven beyond it) or unproven.
    """

    outcomes: Outcomes
    reading: Reading
    beliefs: Beliefs
    promises: list[dict[str, Any]]

    @property
    def certificate(self) -> str:
        """``holds``, ``refuted`` or ``unproven``; ``none`` where the spec has no constraint."""
        verdicts = {one["verdict"] for one in self.promises}
        if not verdicts:
            return "none"
        return "refuted" if "refuted" in verdicts else "unproven" if "unproven" in verdicts else "holds"


def standing(champion: Router, traces: TraceTable, spec: RoutingSpec, gone: Sequence[str], seed: int = 0) -> Standing:
    """Return how the champion stands on what it has not seen.

    Raises
    ------
    TraceError
        Where it has seen everything, or none of its candidates is left.
    """
    policy = champion.policy
    called = [name for name in policy.models if name not in gone]
    if not called:
        raise TraceError("every candidate of the champion is gone: fit anew, there is nothing to compare with")
    prices = covering(spec, called)
    outcomes = with_gone(known_outcomes(traces, prices, at_least=1), gone, list(policy.models))
    outcomes = outcomes.take(unseen(outcomes, champion.bundle.seen)).reorder(policy.models)
    if len(outcomes) == 0:
        raise TraceError("the champion has seen every request: give traces that are later than its fit")
    reading, facts = champion.read(list(outcomes.prompt)), facts_of(outcomes)
    beliefs = believe(reading, facts, policy)
    if from_logs(outcomes):
        # Both sides are the champion: what is asked is only which constraints it keeps.
        report = compare_bundles(champion, champion, traces, spec, seed, gone=gone)
        found = [_of_check(one) for one in report["constraints"]]
        return Standing(outcomes, reading, beliefs, found)
    at = outcomes.complete
    there, own, facts = outcomes.take(at), beliefs.take(at), facts.take(at)
    if len(there) == 0:
        return Standing(outcomes, reading, beliefs, [])
    served = Served.by(with_fallbacks(there, own, facts, policy), decide(own, policy.rule))
    baseline = policy.evidence.get("baseline", spec.baseline) if spec.baseline == BEST_SINGLE else spec.baseline
    if baseline not in {AS_LOGGED, *called}:
        baseline = max(called, key=lambda name: float(there.useful[:, policy.models.index(name)].mean()))
    if baseline == AS_LOGGED and (there.logged < 0).any():
        return Standing(outcomes, reading, beliefs, [])
    before = Served.by(there, baseline_columns(there, baseline))
    verdicts = {check.name: check.verdict for check in checks(served, before, spec)}
    cluster = units_of(there.cluster, len(there))[0]
    found = []
    for promise in promises(served, before, spec, seed, cluster):
        verdict = "kept" if promise.kept else "refuted" if verdicts.get(promise.name) == "broken" else "unproven"
        found.append({**promise.to_dict(), "verdict": verdict})
    return Standing(outcomes, reading, beliefs, found)


def belief_tests(found: Standing, gone: Sequence[str], late_ms: float | None) -> list[DriftTest]:
    """Test for each model whether its usefulness, and its share of late answers, are still what the champion believes.

    Where only what was served is known, the test is of those requests: what is believed is a probability for each.
    """
    tests = []
    for column, model in enumerate(found.outcomes.models):
        if model in gone:
            continue
        believed = np.asarray(found.reading.useful_probs[:, column], dtype=np.float64)
        residual = found.outcomes.useful[:, column] - believed
        tests.append(shift_test(f"usefulness of {model}", residual, USEFULNESS_MATTERS, "points of share"))
        if late_ms is not None:
            latency = found.outcomes.latency_ms[:, column]
            late = np.where(np.isfinite(latency), latency > late_ms, np.nan) - found.beliefs.late[column]
            tests.append(shift_test(f"lateness of {model}", late, LATE_MATTERS, "points of share"))
    return [one for one in tests if one is not None]


def _of_check(one: dict[str, Any]) -> dict[str, Any]:
    kept = one["bound"] <= one["limit"]
    return {**one, "verdict": "kept" if kept else "refuted" if one["verdict"] == "broken" else "unproven"}
