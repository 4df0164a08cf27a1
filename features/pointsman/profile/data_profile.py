"""The data profile: everything that the data report says of the rows kept, counted chunk by chunk in bounded memory."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.columns import COLUMNS
from pointsman.costs import AROUND
from pointsman.profile.arrivals import Arrivals
from pointsman.profile.duplicates import RequestLog
from pointsman.profile.findings import findings
from pointsman.profile.label_counts import LabelCounts
from pointsman.profile.names import Names, floats, ratio, texts
from pointsman.profile.overlap import Tries
from pointsman.profile.quantiles import LogQuantiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["CUTS", "EXTRAS", "DataProfile", "slice_names"]

CUTS = (0.7, 0.8)
"""Shares of the requests at which `fit` cuts time into learn, calibrate and certify."""

EXTRAS = ("useful_by", "intent_by", "cache_hit")
"""Columns beyond the contract that the profile reads where they are there."""

_MODELS, _INTENTS, _STATUSES = 64, 254, 32
"""Names told apart; those that come later are counted together (see `pointsman.profile.names`)."""

_NO_INTENT = _INTENTS + 1


class DataProfile:
    """Profile of a validated trace table that is seen once, in order of time.

    Its memory is 20 bytes a request plus about 30 MB, whatever the length of prompts. Models beyond the first 64 and
    intents beyond the first 254 are counted together as ``(others)``.
    """

    def __init__(self) -> None:
        self._log = RequestLog()
        self._models, self._intents = Names(_MODELS), Names(_INTENTS)
        self._tries = Tries(_INTENTS + 2, _MODELS + 1)
        self._latency = LogQuantiles(_MODELS + 1, low=1e-2, high=1e9, relative_error=0.01)
        self._cost, self._priced = np.zeros(_MODELS + 1), np.zeros(_MODELS + 1, dtype=np.int64)
        self._present: dict[str, NDArray[np.int64]] = {}
        self._labels = LabelCounts()
        self._statuses, self._status_counts = Names(_STATUSES), np.zeros(_STATUSES + 2, dtype=np.int64)
        self._cache_hits = self._rows = 0
        self._arrivals = Arrivals()

    def update(self, rows: pd.DataFrame) -> None:
        """Count the next rows.

        Parameters
        ----------
        rows : pandas.DataFrame
            Validated trace rows with the columns of the contract, in order of time; ``useful_by``, ``intent_by`` (which
            rule gave the label) and ``cache_hit`` are read where they are there. Rows of one request stand side by side
            where their times are equal.

        Raises
        ------
        ValueError
            Where a row is earlier than the one before it.
        """
        if rows.empty:
            return
        times = rows["timestamp"].dt.as_unit("us").astype("int64").to_numpy()
        models = self._models.codes(texts(rows["model"]))
        intents = self._intents.codes(texts(rows["intent"]), missing=_NO_INTENT)
        useful, chosen, propensity, latency = (floats(rows[name]) for name in _READ)
        heads = self._log.add(texts(rows["request_id"]), texts(rows["prompt"]), intents)
        self._arrivals.add(times, heads)
        self._tries.add(intents, models, useful, chosen, propensity)
        self._latency.add(models, latency)
        self._count_presence(rows, models)
        self._labels.add(rows, useful)
        self._count_costs(rows, models)
        statuses = self._statuses.codes(texts(rows["status"]), missing=_STATUSES + 1)
        self._status_counts += np.bincount(statuses, minlength=_STATUSES + 2)
        if "cache_hit" in rows:
            self._cache_hits += int((floats(rows["cache_hit"]) == 1).sum())
        self._rows += len(rows)

    def report(self, intake: Mapping[str, Any] | None = None, cuts: Sequence[float] = CUTS) -> dict[str, Any]:
        """Return everything counted, as JSON values; the profile may go on afterwards.

        Parameters
        ----------
        intake : mapping, optional
            What happened before the rows came here, told by who read the sources. Every key may be missing, and others
            are passed on: ``sources`` (names of files), ``format``, ``created`` (ISO date), ``fingerprint``,
            ``records`` (read from the sources, broken ones included), ``broken`` (those that could not be parsed),
            ``spans``, ``spans_without_call`` (not part of any request that a model answered), ``rows_in`` (rows that
            came out of them, and whatever was put aside), ``kept``, ``aside`` (count by reason), ``prices_missing``
            (rows by model), ``redactions`` (count by kind), ``scores_unread`` (count by name).
        cuts : sequence of float
            Shares of the requests, rising, at which a slice of time ends; see `slice_names`.

        Returns
        -------
        dict
            intake
                As given.
            rows, requests
                Counts.
            kind
                ``replays`` (at least 95 % of the requests have an answer of every model), ``logs`` (of one model),
                ``mixed``, ``one model``.
            answers
                Requests by their number of answers.
            time
                ``first, last`` (ISO, UTC), ``days, unit`` (hour, day, week, month), ``counts`` (requests by unit, from
                the first on), ``gaps`` (the ten longest of more than a day: ``start, end, hours``), ``gaps_total``.
            coverage
                A list of ``column, present`` (share of the rows), ``by_model`` (shares, where they differ by more than
                0.01, else None).
            models
                By rows: ``model, rows, share`` (of the requests), ``served, served_share, labelled, useful_rate``,
                ``priced`` (rows with a known cost), ``cost_usd`` (mean, with what was spent around), ``p50_ms, p95_ms``
                (within 1 %).
            intents
                By requests: ``intent`` (None: not given), ``requests, share, rows, labelled, useful_rate``.
            labels
                ``labelled`` (rows), ``unlabelled_share, useful_rate, zero, between, one`` (rows by value), ``by_rule``,
                ``intent_by`` (lists: ``rule, rows, share, useful_rate``), ``hallucinated_known`` (share),
                ``hallucinated_rate``.
            statuses, cache_hits
                Rows by word; rows.
            duplicates
                ``prompts, groups, requests, share, largest`` (see `pointsman.duplicates.Repeats`).
            slices
                A list of ``name, requests, seen_before, share``: requests whose prompt also stands in an earlier slice.
            overlap
                ``served, propensities`` (rows with one), ``models``, ``intents``: a list of ``intent`` and ``cells``,
                one for each model (see `pointsman.overlap.Cell`).
            findings
                See `pointsman.findings.findings`.
        """
        requests = self._log.requests()
        repeats = self._log.repeats(cuts)
        # Rows on which nobody says `chosen` are replays where some of them share a request.
        unsaid = int(self._tries.unsaid.sum()) <= requests.answers.get(1, 0)
        report: dict[str, Any] = {
            "intake": dict(intake or {}),
            "rows": self._rows,
            "requests": requests.count,
            "kind": _kind(requests.answers, len(self._models), requests.count),
            "answers": {str(answers): count for answers, count in requests.answers.items()},
            "time": self._arrivals.report(),
            "coverage": self._coverage(),
            "models": self._model_list(requests.count, unsaid),
            "intents": self._intent_list(requests.intents, requests.count),
            "labels": self._labels.report(),
            "statuses": {
                self._statuses[code]: int(self._status_counts[code])
                for code in np.argsort(-self._status_counts[:-1], kind="stable").tolist()
                if self._status_counts[code]
            },
            "cache_hits": self._cache_hits,
            "duplicates": {
                "prompts": repeats.prompts,
                "groups": repeats.groups,
                "requests": repeats.requests,
                "share": ratio(repeats.requests, requests.count),
                "largest": repeats.largest,
            },
            "slices": [
                {"name": name, "requests": size, "seen_before": seen, "share": ratio(seen, size)}
                for name, size, seen in zip(slice_names(cuts), repeats.slices, repeats.seen_before, strict=True)
            ],
        }
        report["overlap"] = self._overlap([entry["intent"] for entry in report["intents"]], report["models"], unsaid)
        report["findings"] = findings(report)
        return report

    def _count_presence(self, rows: pd.DataFrame, models: NDArray[np.intp]) -> None:
        every = np.bincount(models, minlength=_MODELS + 1)
        for name in (*COLUMNS, *EXTRAS):
            if name not in rows:
                continue
            missing = rows[name].isna().to_numpy(dtype=bool)
            gone = np.bincount(models[missing], minlength=_MODELS + 1) if missing.any() else 0
            self._present[name] = self._present.get(name, np.int64(0)) + every - gone

    def _count_costs(self, rows: pd.DataFrame, models: NDArray[np.intp]) -> None:
        cost = floats(rows["cost_usd"])
        known = ~np.isnan(cost)
        full = cost + sum(np.nan_to_num(floats(rows[name])) for name in AROUND)
        self._priced += np.bincount(models[known], minlength=_MODELS + 1)
        self._cost += np.bincount(models[known], full[known], minlength=_MODELS + 1)

    def _coverage(self) -> list[dict[str, Any]]:
        every = self._tries.rows.sum(axis=0)
        seen = np.flatnonzero(every)
        columns = []
        for name, present in self._present.items():
            shares = present[seen] / every[seen]
            differ = len(seen) > 1 and float(np.ptp(shares)) > 0.01
            by_model = {self._models[code]: float(share) for code, share in zip(seen.tolist(), shares, strict=True)}
            columns.append(
                {
                    "column": name,
                    "present": ratio(int(present.sum()), self._rows),
                    "by_model": by_model if differ else None,
                }
            )
        return columns

    def _model_list(self, requests: int, unsaid: bool) -> list[dict[str, Any]]:
        rows, labelled = self._tries.rows.sum(axis=0), self._tries.labelled.sum(axis=0)
        useful, served = self._tries.useful.sum(axis=0), self._tries.served(unsaid).sum(axis=0)
        order = sorted(np.flatnonzero(rows).tolist(), key=lambda code: (-int(rows[code]), self._models[code]))
        return [
            {
                "model": self._models[code],
                "rows": int(rows[code]),
                "share": ratio(int(rows[code]), requests),
                "served": int(served[code]),
                "served_share": ratio(int(served[code]), int(served.sum())),
                "labelled": int(labelled[code]),
                "useful_rate": ratio(useful[code], int(labelled[code])),
                "priced": int(self._priced[code]),
                "cost_usd": ratio(self._cost[code], int(self._priced[code])),
                "p50_ms": self._latency.quantile(code, 0.5),
                "p95_ms": self._latency.quantile(code, 0.95),
            }
            for code in order
        ]

    def _intent_list(self, requests: NDArray[np.int64], total: int) -> list[dict[str, Any]]:
        rows, labelled = self._tries.rows.sum(axis=1), self._tries.labelled.sum(axis=1)
        useful = self._tries.useful.sum(axis=1)
        return [
            {
                "intent": None if code == _NO_INTENT else self._intents[code],
                "requests": int(requests[code]),
                "share": ratio(int(requests[code]), total),
                "rows": int(rows[code]),
                "labelled": int(labelled[code]),
                "useful_rate": ratio(useful[code], int(labelled[code])),
            }
            for code in sorted(np.flatnonzero(rows).tolist(), key=lambda code: (-int(requests[code]), code))
        ]

    def _overlap(self, intents: list[str | None], models: list[dict[str, Any]], unsaid: bool) -> dict[str, Any]:
        names = [entry["model"] for entry in models]
        places = [self._models.code(name) for name in names]
        codes = [_NO_INTENT if intent is None else self._intents.code(intent) for intent in intents]
        return {
            "served": int(self._tries.served(unsaid).sum()),
            "propensities": self._tries.propensities(slice(None)),
            "models": names,
            "intents": [
                {"intent": intent, "cells": [asdict(self._tries.cell(code, place, unsaid)) for place in places]}
                for intent, code in zip(intents, codes, strict=True)
            ],
        }


_READ = ("useful", "chosen", "propensity", "latency_ms")


def slice_names(cuts: Sequence[float]) -> list[str]:
    """Return what the slices are called: learn, calibrate, certify for two cuts; learn, certify for one."""
    fixed = {0: ["all"], 1: ["learn", "certify"], 2: ["learn", "calibrate", "certify"]}
    return fixed.get(len(cuts)) or [f"slice {number}" for number in range(1, len(cuts) + 2)]


def _kind(answers: Mapping[int, int], models: int, requests: int) -> str:
    if models <= 1:
        return "one model"
    if sum(count for size, count in answers.items() if size >= models) >= 0.95 * requests:
        return "replays"
    return "logs" if answers.get(1, 0) >= 0.95 * requests else "mixed"
