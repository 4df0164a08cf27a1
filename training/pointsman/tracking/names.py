"""Every metric, parameter and tag that a run may have, with its unit and meaning: what is not named here is not logged.

One list for the code, the page (``training/TRACKING.md``) and the terminal. A part in capitals stands for a name of the
user's: MODEL for a candidate, CONSTRAINT for a constraint, PHASE for a phase of the fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pointsman.tables import markdown

__all__ = ["METRICS", "PARAMS", "TAGS", "TRIAL_METRICS", "TRIAL_PARAMS", "Name", "key", "named", "names_table"]


@dataclass(frozen=True)
class Name:
    """One name, or a family of them.

    Attributes
    ----------
    pattern : str
        Parts apart by ``/``, alternatives by ``|``; ``*`` for the rest.
    unit : str
    meaning : str
    """

    pattern: str
    unit: str
    meaning: str

    def fits(self, name: str) -> bool:
        """Whether a name is of this family."""
        return _expression(self.pattern).fullmatch(name) is not None


_SUMMARY = (
    ("useful_rate", "0..1", "useful responses among all"),
    ("cost_per_useful", "USD", "full cost of a useful response"),
    ("cost_per_1000_useful", "USD", "the same for a thousand, which MLflow's three decimals show"),
    ("cost_usd", "USD", "full cost of the requests replayed"),
    ("cost_usd_per_month", "USD", "the same for the month's requests, where the spec tells their number"),
    ("p50_ms|p95_ms", "ms", "latency as the user felt it"),
    ("hallucination_rate", "0..1", "hallucinated among those judged"),
    ("requests", "", "requests replayed"),
)

METRICS: tuple[Name, ...] = (
    *(Name(f"after/{part}", unit, f"{text}, by the policy on unseen requests") for part, unit, text in _SUMMARY),
    *(Name(f"before/{part}", unit, f"{text}, by the baseline on the same requests") for part, unit, text in _SUMMARY),
    Name(
        "change/useful_rate|hallucination_rate/difference|low|high",
        "0..1",
        "paired difference after − before",
    ),
    Name(
        "change/cost_usd|cost_per_useful|p50_ms|p95_ms/ratio|low|high",
        "ratio",
        "after / before; 1: alike",
    ),
    Name("change/confidence", "0..1", "of these intervals"),
    Name(
        "rival/best_per_intent|random_same_cost|oracle/useful_rate|cost_per_useful|p95_ms",
        "as above",
        "content-blind baselines, and the best that could be had, on the same requests",
    ),
    Name(
        "constraint/CONSTRAINT/value|bound|limit", "of the constraint", "measured on unseen requests; certain; allowed"
    ),
    Name(
        "certificate/CONSTRAINT/value|bound|next_bound|limit",
        "of the constraint",
        "measured by the certificate, certain of the truth, certain of the next requests, allowed",
    ),
    Name("certificate/certified", "0 or 1", "whether every constraint is certified"),
    Name("certificate/requests", "", "requests that the certificate rests on"),
    Name("moved/share", "0..1", "requests that the policy answers by another model than the baseline"),
    Name("moved/lost|gained", "", "useful answers that are lost, and won, by that"),
    Name("errors/before|after", "0..1", "requests that end without an answer"),
    Name("replay/*", "as above", "the same of a later replay, logged by `pointsman report --run-id`"),
    Name("classifier/intent/accuracy|accuracy_low|accuracy_high", "0..1", "of intents on unseen requests"),
    Name("classifier/intent/majority", "0..1", "share of the most frequent intent: accuracy of a constant"),
    Name("classifier/intent/calibration_error", "0..1", "expected calibration error of the confidence"),
    Name("classifier/out_of_scope/auroc|recall_at_5_percent", "0..1", "telling what is out of scope, 95 % interval"),
    Name("classifier/hallucination/MODEL/auc|brier|calibration_error", "0..1", "of P(hallucinated), 95 % interval"),
    Name("classifier/repeated/requests", "", "unseen requests that repeat a prompt learned from"),
    Name("classifier/learned/NAME", "", "penalties and scores chosen; labels merged or not learned"),
    Name("classifier/useful/MODEL/auc|auc_low|auc_high", "0..1", "ranking of P(useful), 95 % interval"),
    Name("classifier/useful/MODEL/brier|calibration_error", "0..1", "error and calibration of P(useful)"),
    Name(
        "classifier/needed_compute/MODEL",
        "0..1",
        "share of requests whose cheapest useful one it is",
    ),
    Name(
        "classifier/hallucination/MODEL/auc|auc_low|auc_high|brier|calibration_error",
        "0..1",
        "ranking, error and calibration of P(hallucinated)",
    ),
    Name(
        "classifier/out_of_scope/auroc|recall_at_5_percent|false_alarms_above_95",
        "0..1",
        "of requests that belong to no intent: ranking, and how many are found",
    ),
    Name("search/gap_to_dual", "0..1", "distance of the exported rule from the dual bound of cost per useful response"),
    Name("search/dual_bound", "USD", "no rule of any family costs less per useful response on the tuning requests"),
    Name("search/useful_value_usd", "USD", "what the last useful response was worth to the search"),
    Name("search/trials|feasible", "", "finished trials; those that keep every constraint"),
    Name("data/requests|learn|calibrate|certify", "", "requests in all, and by use"),
    Name("data/rows_put_aside", "", "rows in quarantine"),
    Name("seconds/fit", "s", "the whole fit"),
    Name("seconds/PHASE", "s", "one phase, without phases inside it"),
)

TRIAL_METRICS: tuple[Name, ...] = (
    Name("cost_per_useful", "USD", "the objective, on the tuning requests; 1e9 where nothing was useful"),
    Name("useful_rate|late_share", "0..1", "on the tuning requests"),
    Name("value/CONSTRAINT", "of the constraint", "what was measured of it on the tuning requests"),
    Name(
        "slack/CONSTRAINT",
        "its own scale",
        "how far its bound is beyond the limit; ≤ 0: kept",
    ),
)

TRIAL_PARAMS: tuple[Name, ...] = (Name("*", "", "the trial's thresholds, as the search calls them"),)

PARAMS: tuple[Name, ...] = (
    Name("encoder", "", "what embeds prompts: its kind, and the model that it is made of"),
    Name("trials|seed|sampler|pick|storage", "", "how it was searched: options of `pointsman fit`"),
    Name("option/*", "", "every other option of the fit"),
    Name("baseline|safe_model|candidates", "", "of the spec"),
    Name("constraints/*", "", "of the spec: limits, and the confidence at which they must hold"),
    Name("objective/*", "", "of the spec"),
    Name("rule/kind|trust|max_p_late|useful_value_usd|late_cost_usd", "", "the exported rule"),
    Name("rule/min_p_useful/MODEL", "0..1", "the exported rule's thresholds"),
)

TAGS: tuple[Name, ...] = (
    Name("kind", "", "fit, phase, trial; bundle where one was registered without its fit"),
    Name("fit", "", "run id of the fit that a phase or trial belongs to"),
    Name("holds", "True or False", "whether everything asked for is certified and nothing refuted: exit code 0 or 1"),
    Name("certified", "True or False", "whether every constraint is certified"),
    Name("standing", "", "ahead, level or behind: the worst against best_per_intent and random_same_cost"),
    Name("verdict", "", "the report's first line"),
    Name("feasible", "True or False", "of a trial: whether it keeps every constraint on the tuning requests"),
    Name("data/fingerprint", "", "SHA-256 of the traces"),
    Name("data/first|last|certify_from", "UTC", "time span; where the part begins that the search never saw"),
    Name("bundle_sha256|bundle_name", "", "of the bundle's manifest; its folder's name"),
    Name("pointsman", "", "version"),
    Name("error", "", "of a fit that failed"),
    Name("mlflow.*", "", "MLflow's own: name, user, source, parent, note"),
)

_LISTS = {"metrics of a fit": METRICS, "parameters of a fit": PARAMS, "metrics of a trial": TRIAL_METRICS}
_LISTS |= {"parameters of a trial": TRIAL_PARAMS, "tags": TAGS}


def named(values: Mapping[str, Any], names: tuple[Name, ...]) -> dict[str, Any]:
    """Return those values whose name is in the list."""
    return {name: value for name, value in values.items() if any(one.fits(name) for one in names)}


def flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of every leaf of nested mappings, parts of a name apart by ``/``."""
    for part, value in document.items():
        name = f"{prefix}{key(str(part))}"
        if isinstance(value, Mapping):
            yield from flat(value, f"{name}/")
        else:
            yield name, value


def key(text: str) -> str:
    """Return a user's name as MLflow allows it as one part: a slash would open another section."""
    return "".join(char if char.isalnum() or char in "_-. :" else "." for char in text)[:120]


def names_table() -> str:
    """Return all lists as Markdown tables."""
    parts = []
    for title, names in _LISTS.items():
        rows = [[f"`{one.pattern}`", one.unit or "–", one.meaning] for one in names]
        parts.append(f"**{title[0].upper()}{title[1:]}**\n\n" + markdown([["name", "unit", "what it is"], *rows]))
    return "\n\n".join(parts)


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    def part(text: str) -> str:
        if text.endswith("*"):
            return re.escape(text[:-1]) + ".*"
        return "[^/]+" if text.isupper() else f"(?:{'|'.join(map(re.escape, text.split('|')))})"

    return re.compile("/".join(map(part, pattern.split("/"))))
