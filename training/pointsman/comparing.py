"""Compare two bundles on the requests that neither was fitted on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.comparison.compare import Side, compare_policies
from pointsman.errors import SpecError, TraceError
from pointsman.estimated import from_logs, usable
from pointsman.fingerprint import fingerprint
from pointsman.fit import Progress, silent
from pointsman.inputs import known_outcomes, unseen
from pointsman.manifest import MODEL, TOKENIZER
from pointsman.router import Router
from pointsman.spec import CandidateSpec, RoutingSpec, parse_spec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pointsman.decide import Reading
    from pointsman.outcomes import Outcomes
    from pointsman.policy import Policy
    from pointsman.traces import TraceTable

__all__ = ["compare_bundles", "covering", "with_gone"]


def compare_bundles(
    before: Path | Router,
    after: Path | Router,
    traces: TraceTable,
    spec: RoutingSpec | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    gone: Sequence[str] = (),
    names: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """Return what changes between two bundles (see `pointsman.comparison.compare.compare_policies`).

    Parameters
    ----------
    before, after : Path or Router
        A bundle's folder, or a router that has loaded it: a bundle whose folder was written anew since.
    traces : TraceTable
        Requests that took part in the fit of either are left out.
    spec : RoutingSpec, optional
        Prices, traffic, confidence, constraints; it must name every candidate of either bundle that is not `gone`.
        Without one, prices and timeouts are those in the policies, `after`'s where both have some.
    seed : int
        Of the bootstrap.
    progress : callable, optional
    gone : sequence of str
        Candidates that can no longer be called: they answer nothing, at once and for nothing, and fallbacks take over.
    names : pair of str, optional
        What to call the bundles; by default their folders.

    Returns
    -------
    dict
        As `compare_policies`, with ``left_out`` (``seen_by_before``, ``seen_by_after``, ``incomplete``), ``gone``,
        ``bundles`` (name, run id, data of each) and ``traces`` (fingerprint, time span).

    Raises
    ------
    SpecError
        Where the spec does not name a candidate.
    TraceError
        Where a candidate has no rows in the traces, or no request is left.
    """
    say = progress or silent
    routers = [one if isinstance(one, Router) else Router.load(one, threads=0) for one in (before, after)]
    policies = [router.policy for router in routers]
    models = list(dict.fromkeys(name for policy in policies for name in policy.models))
    called = [name for name in models if name not in gone]
    _check_there(called, traces, gone, models)
    prices = _of_policies(policies, called) if spec is None else covering(spec, called)
    outcomes = with_gone(known_outcomes(traces, prices, at_least=1), gone, models)
    fresh = [unseen(outcomes, router.bundle.seen) for router in routers]
    logs = from_logs(outcomes)
    there = usable(outcomes) if logs else outcomes.complete
    both = fresh[0] & fresh[1]
    kept = outcomes.take(both & there)
    if len(kept) == 0:
        raise TraceError(
            f"none of the {len(outcomes):,} requests is complete and unseen by both bundles: "
            f"{int((~both).sum()):,} took part in the fit of one; give traces that are later than both"
        )
    readings = _read(routers, list(kept.prompt), say)
    names = names or _names(routers)
    first, second = (Side(*each) for each in zip(names, policies, readings, strict=True))
    report = compare_policies(kept, first, second, prices, seed, logs=logs, gone=gone)
    return {
        **report,
        "left_out": {
            "seen_by_before": int((~fresh[0]).sum()),
            "seen_by_after": int((~fresh[1]).sum()),
            "incomplete": int((both & ~there).sum()),
        },
        "gone": list(gone),
        "bundles": dict(zip(("before", "after"), map(_identity, routers), strict=True)),
        "traces": {
            "fingerprint": fingerprint(traces.rows),
            "first": str(kept.timestamp.min()),
            "last": str(kept.timestamp.max()),
        },
    }


def _check_there(called: Sequence[str], traces: TraceTable, gone: Sequence[str], models: Sequence[str]) -> None:
    unknown = [name for name in gone if name not in models]
    if unknown:
        raise SpecError(f"gone names {unknown[0]!r}, no candidate of either bundle; allowed: {', '.join(models)}")
    if not called:
        raise SpecError("gone names every candidate of both bundles: at least one must be left")
    present = set(map(str, traces.rows["model"].unique()))
    absent = [name for name in called if name not in present]
    if absent:
        raise TraceError(
            f"candidate {absent[0]!r} has no rows in the traces, so what it would have done is not known; models "
            f"there: {', '.join(sorted(present))}. Replay it, or say that it is gone (--gone {absent[0]})"
        )


def covering(spec: RoutingSpec, called: Sequence[str]) -> RoutingSpec:
    """Return the spec with just the candidates of the bundles."""
    lacking = [name for name in called if name not in spec.candidates]
    if lacking:
        raise SpecError(
            f"the spec has no candidate {lacking[0]!r}, as a bundle has; its candidates: {', '.join(spec.candidates)}"
        )
    return spec.model_copy(update={"candidates": {name: spec.candidates[name] for name in called}})


def _of_policies(policies: Sequence[Policy], called: Sequence[str]) -> RoutingSpec:
    """Return a spec with the prices and limits that the policies carry, the later one's where both have some."""
    known = {one.name: one for policy in policies for one in policy.candidates}
    fields = set(CandidateSpec.model_fields)
    candidates = {
        name: {key: value for key, value in vars(known[name]).items() if key in fields and value is not None}
        for name in called
    }
    document = {name: {**keys, "modalities": list(keys["modalities"])} for name, keys in candidates.items()}
    return parse_spec({"candidates": document, "safe_model": called[0]}, source="the bundles' policies")


def with_gone(outcomes: Outcomes, gone: Sequence[str], models: Sequence[str]) -> Outcomes:
    """Add a column of failures for each candidate that is gone."""
    if not gone:
        return outcomes
    n, more = len(outcomes), len(gone)
    nothing: dict[str, Any] = {name: np.zeros((n, more)) for name in ("useful", "cost_usd", "latency_ms")}
    nothing |= {name: np.full((n, more), np.nan) for name in ("hallucinated", "output_tokens")}
    nothing |= {"failure": np.full((n, more), "error", dtype=object)}
    columns: dict[str, Any] = {name: np.hstack([getattr(outcomes, name), part]) for name, part in nothing.items()}
    return replace(outcomes, models=(*outcomes.models, *gone), **columns).reorder(models)


def _read(routers: Sequence[Router], prompts: list[str], say: Progress) -> list[Reading]:
    """Return what each bundle's classifier reads; bundles with the same graph and cut read once."""
    first, second = routers
    files = [router.bundle.manifest["files"] for router in routers]
    same = all(files[0][name] == files[1][name] for name in (MODEL, TOKENIZER))
    alike = same and first.policy.text == second.policy.text
    readings = [first.read(prompts, progress=lambda done, total: say("certify", done, total))]
    if alike:
        return readings * 2
    return [*readings, second.read(prompts, progress=lambda done, total: say("compare", done, total))]


def _names(routers: Sequence[Router]) -> tuple[str, str]:
    """Return the folders' names, or as much of their paths as tells them apart."""
    paths = [router.bundle.path for router in routers]
    if paths[0].name != paths[1].name:
        return paths[0].name, paths[1].name
    if paths[0] == paths[1]:
        return f"{paths[0].name} (first)", f"{paths[1].name} (second)"
    first, second = ("/".join(path.parts[-2:]) for path in paths)
    return (first, second) if first != second else (str(paths[0]), str(paths[1]))


def _identity(router: Router) -> dict[str, Any]:
    manifest = router.bundle.manifest
    provenance = manifest["provenance"]
    data = provenance.get("data") or {}
    return {
        "name": manifest["name"],
        "created": manifest["created"],
        "run_id": provenance.get("run_id"),
        "version": manifest["sha256"],
        "data": {key: data.get(key) for key in ("fingerprint", "requests", "first", "last")},
    }
