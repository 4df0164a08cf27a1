"""Audits a trace table: every test of every check, corrected together, so that clean traces are rarely flagged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pointsman.audit.audit import Audit, Skipped, together
from pointsman.audit.check import Check
from pointsman.audit.cliff import CLIFF, cliff_suspicions
from pointsman.audit.demo_bias import DEMO_BIAS, Sample, demo_suspicions
from pointsman.audit.dominated import DOMINATED, dominance_suspicions
from pointsman.audit.finding import Measure, Place
from pointsman.audit.grounding import GROUNDING, grounding_suspicions
from pointsman.audit.log import log_of
from pointsman.audit.price_and_use import PRICE_AND_USE, price_suspicions, price_table
from pointsman.audit.retry_tail import RETRY_TAIL, tail_suspicions
from pointsman.audit.suspicion import confirmed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from pointsman.audit.finding import Finding
    from pointsman.audit.log import Log
    from pointsman.audit.suspicion import Suspicion
    from pointsman.costs import Price

__all__ = ["ALPHA", "TRACE_CHECKS", "audit_traces"]

ALPHA = 0.05
"""Probability with which an audit of clean traces raises any false alarm, at most."""

ONE_SERVES = Check(
    "one-model-serves",
    "traces",
    "Production serves everything with one model",
    "Every greeting pays the price and waits the time of the hardest question.",
    "Share of the served answers that the most frequent model gave, where the table has at least two models (counted).",
    "99 % of at least 100",
    "Fit a policy on these traces: pointsman fit.",
    "Chen, Zaharia, Zou 2023, FrugalGPT (arXiv 2305.05176)",
)
TRACE_CHECKS = (ONE_SERVES, CLIFF, PRICE_AND_USE, DOMINATED, RETRY_TAIL, GROUNDING, DEMO_BIAS)

_NEEDS = {
    CLIFF.code: "no model has 200 requests and 5 failures whose status the traces tell",
    PRICE_AND_USE.code: "no intent has 200 judged answers of two models with tokens and cost (--spec gives prices)",
    DOMINATED.code: "no two models have 100 judged answers to the same requests, or enough within intents, with costs",
    RETRY_TAIL.code: "the traces tell no retries, or of too few answers",
    GROUNDING.code: "the traces do not tell hallucination and retrieval, or within no intent and model of both kinds",
    DEMO_BIAS.code: "no evaluation prompts were given (--evaluation FILE), or fewer than 20",
}


def audit_traces(
    rows: pd.DataFrame,
    source: str,
    *,
    prices: Mapping[str, Price] | None = None,
    evaluation: Sample | None = None,
    alpha: float = ALPHA,
    seed: int = 0,
) -> Audit:
    """Audit a validated trace table.

    Parameters
    ----------
    rows : pandas.DataFrame
    source : str
        Name of the table in findings.
    prices : mapping of str to Price, optional
        Of models whose rows carry no cost.
    evaluation : Sample, optional
        Prompts on which somebody judges models.
    alpha : float
        Probability of any false alarm among the statistical checks, 0..1.
    seed : int
        Of permutations and bootstraps.
    """
    log = log_of(rows, prices)
    suspicions: list[Suspicion] = [
        *(cliff_suspicions(log, seed) if log.says_status else ()),
        *price_suspicions(log),
        *dominance_suspicions(log),
        *tail_suspicions(log),
        *grounding_suspicions(log),
        *(() if evaluation is None else demo_suspicions(_production(log), evaluation, seed)),
    ]
    tested = {one.check.code for one in suspicions}
    count = len(suspicions)
    note = (
        f"{count} statistical tests were made; all together raise a false alarm with probability at most {alpha:g} "
        "(weighted Holm)."
    )
    audit = Audit(
        sources=(source,),
        findings=(*_one_serves(log, source), *confirmed(suspicions, source, alpha)),
        checked=tuple(
            check.code
            for check in TRACE_CHECKS
            if check.code in tested or (check is ONE_SERVES and log.says_served and len(log.models) > 1)
        ),
        skipped=tuple(Skipped(code, why) for code, why in _NEEDS.items() if code not in tested),
        notes=(note,) if suspicions else (),
        tables={PRICE_AND_USE.code: price_table(log)},
    )
    return together([audit])


def _one_serves(log: Log, source: str) -> Iterator[Finding]:
    served = log.model[log.served]
    if not log.says_served or len(log.models) < 2 or len(served) < 100:
        return
    counts = np.bincount(served, minlength=len(log.models))
    most, share = int(counts.argmax()), float(counts.max() / counts.sum())
    if share >= 0.99:
        name = log.models[most]
        yield ONE_SERVES.found(
            "high",
            f"{name} serves {'everything' if share == 1 else f'{100 * share:.1f} % of everything'}",
            Place(source, None, "chosen"),
            [Measure("share", share, unit="share"), Measure("answers", float(counts.sum()))],
        )


def _production(log: Log) -> Sample:
    """Return the prompts of production, each request once."""
    _, first = np.unique(log.request, return_index=True)
    intents = tuple(log.intents[code] if code >= 0 else "" for code in log.intent[first].tolist())
    return Sample(tuple(map(str, log.prompt[first])), intents if log.intents else None)
