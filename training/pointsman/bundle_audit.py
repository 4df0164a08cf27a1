"""Audits a bundle: its policy as a configuration, its classifier under pressure, its choices on unseen outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.audit.adversarial import ADVERSARIAL_CHECKS, adversarial_findings
from pointsman.audit.audit import Audit, Skipped, together
from pointsman.audit.audit_configuration import audit_configuration
from pointsman.audit.brittleness import BRITTLE, brittleness, brittleness_findings, brittleness_table
from pointsman.audit.expected_routes import UNEXPECTED, route_findings
from pointsman.audit.outcome_checks import (
    CALIBRATION,
    FAIRNESS,
    SLICE,
    calibration_findings,
    fairness_findings,
    slice_findings,
    slices_of,
)
from pointsman.audit.prompt_files import packaged, read_cases
from pointsman.audit.routed import Routed, route_all
from pointsman.costs import Price
from pointsman.errors import ConfigError, TraceError
from pointsman.inputs import own_prices, unseen
from pointsman.manifest import POLICY
from pointsman.outcomes import Outcomes, outcomes_of
from pointsman.replay import baseline_columns
from pointsman.router import Router
from pointsman.spec import AS_LOGGED, BEST_SINGLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pointsman.spec import RoutingSpec
    from pointsman.traces import TraceTable

__all__ = ["SAMPLE", "audit_bundle"]

SAMPLE = 100
"""Prompts of the traces that are perturbed, unless told otherwise."""


def audit_bundle(
    path: Path,
    *,
    traces: TraceTable | None = None,
    spec: RoutingSpec | None = None,
    prompts: Sequence[Path] = (),
    group: str | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
) -> Audit:
    """Audit a bundle.

    Parameters
    ----------
    path : Path
    traces : TraceTable, optional
        Outcomes; those of requests that took part in the fit are left out.
    spec : RoutingSpec, optional
        Baseline and prices; without it, what production served, else the most useful single model.
    prompts : sequence of Path
        Sets with expected routes.
    group : str, optional
        Column of `traces` with groups of users.
    sample : int
        Prompts of the traces that are perturbed.
    seed : int

    Raises
    ------
    BundleError
        Where the bundle is not to be used.
    ConfigError
        Where a set of prompts or the column of groups cannot be used.
    """
    router = Router.load(path, threads=0)
    policy, source = router.policy, str(path)
    cases = packaged("brittleness")
    fresh = None if traces is None else _fresh(router, traces, spec)
    drawn: list[str] = []
    if fresh is not None:
        own = list(dict.fromkeys(map(str, fresh.prompt)))
        at = np.random.default_rng(seed).permutation(len(own))[:sample]
        drawn = [own[index] for index in sorted(at.tolist())]
    flips = brittleness(router.read, policy, drawn, cases, seed)
    simple = [*drawn, *(case.prompt for case in cases if case.kind == "base")]
    pressed = adversarial_findings(
        router.read, policy, packaged("adversarial"), packaged("stress"), simple, source, seed
    )
    parts = [
        audit_configuration(path / POLICY),
        Audit(
            (source,),
            (*brittleness_findings(flips, source), *pressed),
            (BRITTLE.code, *(one.code for one in ADVERSARIAL_CHECKS)),
            tables={BRITTLE.code: brittleness_table(flips)},
        ),
        _against_outcomes(router, fresh, spec, traces, group, source),
    ]
    for file in prompts:
        found = tuple(route_findings(router.read, policy, read_cases(file), str(file)))
        parts.append(Audit((source,), found, (UNEXPECTED.code,)))
    if not prompts:
        parts.append(Audit((source,), skipped=(Skipped(UNEXPECTED.code, "no set of prompts was given (--prompts)"),)))
    return together(parts)


def _fresh(router: Router, traces: TraceTable, spec: RoutingSpec | None) -> Outcomes | None:
    """Return the outcomes of requests that the bundle was not fitted on; None where the traces hold none."""
    known = {} if spec is None else own_prices(spec)
    prices = {
        one.name: known.get(one.name, Price(one.input_usd_per_mtok, one.output_usd_per_mtok))
        for one in router.policy.candidates
    }
    timeouts = {one.name: one.timeout_ms for one in router.policy.candidates if one.timeout_ms is not None}
    try:
        outcomes = outcomes_of(traces.rows, prices, timeouts)
    except TraceError:
        return None
    kept = outcomes.take(unseen(outcomes, router.bundle.seen))
    return kept if len(kept) else None


def _against_outcomes(
    router: Router,
    fresh: Outcomes | None,
    spec: RoutingSpec | None,
    traces: TraceTable | None,
    group: str | None,
    source: str,
) -> Audit:
    """Hold the bundle's choices against what is known to have happened."""
    if fresh is None or traces is None:
        why = (
            "no traces were given beside the bundle"
            if traces is None
            else "the traces hold no answers of its candidates to requests that it has not seen"
        )
        return Audit((source,), skipped=tuple(Skipped(one.code, why) for one in (CALIBRATION, SLICE, FAIRNESS)))
    kinds = fresh.modality.astype(str).tolist()
    routed = route_all(router.read, router.policy, list(fresh.prompt), kinds, fresh.context_tokens.tolist())
    after, before = _change(fresh, routed, spec)
    findings = [*calibration_findings(fresh, routed, source)]
    checked, skipped = [CALIBRATION.code], []
    if np.isfinite(after - before).sum() >= 2:
        findings += slice_findings(slices_of(fresh), after, before, source)
        checked.append(SLICE.code)
    else:
        skipped.append(Skipped(SLICE.code, "no request has both the bundle's and the baseline's answer"))
    if group is None:
        skipped.append(Skipped(FAIRNESS.code, "no column of groups was named (--group)"))
    else:
        cheap = np.asarray(routed.model == 0)
        groups = _groups(traces, fresh, group)
        findings += fairness_findings(groups, fresh.intent, after, before, cheap, source, group)
        checked.append(FAIRNESS.code)
    note = f"{source}: held against {len(fresh):,} requests that it was not fitted on."
    return Audit((source,), tuple(findings), tuple(checked), tuple(skipped), (note,))


def _change(fresh: Outcomes, routed: Routed, spec: RoutingSpec | None) -> tuple[Any, Any]:
    """Return usefulness under the bundle and under the baseline, (n,); NaN where unknown."""
    baseline = spec.baseline if spec is not None else AS_LOGGED if (fresh.logged >= 0).any() else BEST_SINGLE
    rows = np.arange(len(fresh))
    if baseline == AS_LOGGED:
        columns = fresh.logged
    elif baseline == BEST_SINGLE:
        columns = np.full(len(fresh), int(np.nanmean(fresh.useful, axis=0).argmax()))
    else:
        columns = baseline_columns(fresh, baseline)
    before = np.where(columns >= 0, fresh.useful[rows, np.maximum(columns, 0)], np.nan)
    return fresh.useful[rows, routed.model], before


def _groups(traces: TraceTable, fresh: Outcomes, column: str) -> Any:
    """Return the group of each request, (n,); "" where unknown."""
    if column not in traces.rows.columns:
        there = ", ".join(map(str, traces.rows.columns))
        raise ConfigError(f"--group {column}: no such column; the traces have {there}")
    told = traces.rows[["request_id", column]].dropna().drop_duplicates("request_id")
    of = dict(zip(told["request_id"].astype(str), told[column].astype(str), strict=True))
    return np.array([of.get(str(name), "") for name in fresh.request_id], dtype=object)
