"""Logs without a red flag, and the same with one fault planted: what the audit's alarms are measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pointsman.audit.demo_bias import Sample
from pointsman.sample_week import sample_week
from pointsman.traces import validate_traces

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FAULTS", "Case", "clean_log", "clean_week", "plant"]

MODELS = {"small": 0.4, "mid": 2.0, "big": 12.0}
"""USD per million tokens, input and output alike."""
INTENTS = ("lookup", "code", "write", "plan", "talk")
SKILL = {
    "lookup": (0.80, 0.86, 0.92),
    "code": (0.45, 0.70, 0.88),
    "write": (0.70, 0.82, 0.88),
    "plan": (0.40, 0.60, 0.80),
    "talk": (0.78, 0.86, 0.93),
}
_WORDS = {
    "lookup": "when where who which year city opening hours price phone of the station office museum tax",
    "code": "fix this function error loop query index python list return value exception type",
    "write": "rewrite this email letter friendlier shorter formal reply to customer about delay",
    "plan": "plan a trip project week steps budget compare options risks for the team launch",
    "talk": "hello thanks how are you today nice idea tell me something funny please",
}


@dataclass(frozen=True, eq=False)
class Case:
    """Trace rows that are validated, and evaluation prompts."""

    rows: pd.DataFrame
    evaluation: Sample


def clean_log(seed: int, requests: int = 1200) -> Case:
    """Return a log in which every request was answered by three models, and nothing is wrong.

    Errors rise with size, in proportion; dearer models are more useful for every intent; two answers in five of the
    tail were retried; what is made up does not depend on retrieval; evaluation prompts are a random part of production.
    """
    rng = np.random.default_rng(seed)
    n, m = requests, len(MODELS)
    intent = rng.choice(len(INTENTS), n, p=[0.3, 0.2, 0.2, 0.15, 0.15])
    prompts = [_prompt(rng, INTENTS[code]) for code in intent.tolist()]
    size = np.ceil(rng.lognormal(6.3, 1.0, n))
    wrote = np.ceil(rng.lognormal(5.0, 0.4, (n, m)))
    failed = rng.random((n, m)) < np.minimum(0.004 + 0.02 * size[:, None] / 4000, 1.0) * np.array([1.0, 0.7, 0.5])
    skill = np.array([SKILL[name] for name in INTENTS])[intent]
    luck = np.where(rng.random((n, 1)) < 0.35, rng.random((n, 1)), rng.random((n, m)))
    retried = rng.random((n, m)) < 0.06
    latency = rng.lognormal(6.0, 0.4, (n, m)) * np.array([0.8, 1.0, 1.5]) * np.where(retried, 1.5, 1.0)
    price = np.array(list(MODELS.values()))
    served = np.where(skill[:, 2] - skill[:, 0] > 0.2, 2, 0)
    served = np.where(rng.random(n) < 0.2, rng.integers(0, m, n), served)
    cell = {
        "request_id": np.repeat([f"r{index}" for index in range(n)], m),
        "timestamp": np.repeat(pd.date_range("2026-03-02", periods=n, freq="41s", tz="UTC"), m),
        "prompt": np.repeat(np.array(prompts, dtype=object), m),
        "intent": np.repeat(np.array(INTENTS, dtype=object)[intent], m),
        "model": np.tile(list(MODELS), n),
        "latency_ms": latency.ravel(),
        "useful": ((luck < skill) & ~failed).astype(float).ravel(),
        "input_tokens": np.repeat(size, m),
        "output_tokens": wrote.ravel(),
        "cost_usd": ((size[:, None] + wrote) * price / 1e6).ravel(),
        "retries": retried.astype(int).ravel(),
        "status": np.where(failed, "error", "ok").ravel(),
        "hallucinated": (rng.random((n, m)) < np.array([0.08, 0.06, 0.04])).ravel(),
        "retrieval_cost_usd": np.repeat(np.where(rng.random(n) < 0.5, 0.0008, 0.0), m),
        "chosen": (np.arange(m) == served[:, None]).ravel(),
    }
    return Case(validate_traces(pd.DataFrame(cell)).rows, _part(rng, prompts, intent, np.arange(n)))


def clean_week(seed: int, requests: int = 1500) -> Case:
    """Return a sample week as a good router would have served it, with the faults that it holds on purpose undone.

    Requests that do not fit a context window were not sent there; an intent for which a dearer model is no better went
    to the smallest; what is made up was shuffled within intent and model.
    """
    rng = np.random.default_rng(seed)
    week = sample_week(seed=seed, requests=requests)
    rows = week.traces
    window = rows["model"].map({name: one["context_window"] for name, one in week.spec["candidates"].items()})
    rows = rows[(rows["input_tokens"] <= window).to_numpy(dtype=bool)].copy()
    hard = {"code", "complex_synthesis", "summarise_long_doc", "support_complaint", "poetry"}
    to = np.where(rows["intent"].isin(hard), "big-decoder-v2", "small-precise")
    to = np.where(rows["intent"] == "image_question", "vision-scout", to)
    rows["chosen"] = rows["model"].to_numpy() == to
    rows["hallucinated"] = rows.groupby(["intent", "model"])["hallucinated"].transform(
        lambda part: part.to_numpy()[rng.permutation(len(part))]
    )
    heads = rows.drop_duplicates("request_id")
    part = rng.choice(len(heads), 150, replace=False)
    chosen = heads.iloc[part]
    return Case(validate_traces(rows).rows, Sample(tuple(chosen["prompt"]), tuple(chosen["intent"])))


def _prompt(rng: np.random.Generator, intent: str) -> str:
    words = _WORDS[intent].split()
    return " ".join(rng.choice(words, int(rng.integers(4, 18))))


def _part(rng: np.random.Generator, prompts: list[str], intent: np.ndarray, among: np.ndarray) -> Sample:
    at = rng.choice(among, min(150, len(among)), replace=False).tolist()
    return Sample(tuple(prompts[index] for index in at), tuple(INTENTS[intent[index]] for index in at))


def _cliff(case: Case, rng: np.random.Generator) -> Case:
    """Let mid fail in 20 % of the requests beyond 1,500 tokens."""
    rows = case.rows.copy()
    hit = ((rows["model"] == "mid") & (rows["input_tokens"] > 1500)).to_numpy(dtype=bool) & (
        rng.random(len(rows)) < 0.2
    )
    rows.loc[hit, "status"] = "error"
    return Case(rows, case.evaluation)


def _dominated(case: Case, rng: np.random.Generator) -> Case:
    """Let mid answer as big does, luck apart, and five points better."""
    rows = case.rows.copy()
    answered = (rows["status"] == "ok").to_numpy(dtype=bool)
    skill = rows["intent"].map({name: of[2] for name, of in SKILL.items()}).to_numpy(dtype=float)
    mid = (rows["model"] == "mid").to_numpy(dtype=bool)
    rows.loc[mid, "useful"] = ((rng.random(len(rows)) < skill + 0.05) & answered)[mid].astype(float)
    return Case(rows, case.evaluation)


def _tail(case: Case, rng: np.random.Generator) -> Case:
    """Let retries take four times as long."""
    rows = case.rows.copy()
    retried = (rows["retries"] > 0).to_numpy(dtype=bool)
    rows.loc[retried, "latency_ms"] = rows.loc[retried, "latency_ms"] * 4
    return Case(rows, case.evaluation)


def _ungrounded(case: Case, rng: np.random.Generator) -> Case:
    """Let answers without retrieval make things up three times as often."""
    rows = case.rows.copy()
    bare = (rows["retrieval_cost_usd"] == 0).to_numpy(dtype=bool)
    rows.loc[bare & (rng.random(len(rows)) < 0.1), "hallucinated"] = True
    return Case(rows, case.evaluation)


def _overpaid(case: Case, rng: np.random.Generator) -> Case:
    """Let dearer models serve talk a little worse (95, 90, 85 % useful), and big serve it."""
    rows = case.rows.copy()
    talk = (rows["intent"] == "talk").to_numpy(dtype=bool)
    skill = rows["model"].map({"small": 0.95, "mid": 0.9, "big": 0.85}).to_numpy(dtype=float)
    rows.loc[talk, "useful"] = (rng.random(len(rows)) < skill)[talk].astype(float)
    rows.loc[talk, "chosen"] = (rows.loc[talk, "model"] == "big").to_numpy()
    return Case(rows, case.evaluation)


def _biased(case: Case, rng: np.random.Generator) -> Case:
    """Judge models on short code and planning prompts that somebody wrote for a demo."""
    heads = case.rows.drop_duplicates("request_id")
    heads = heads[heads["intent"].isin(["code", "plan"])]
    at = rng.choice(len(heads), min(100, len(heads)), replace=False)
    prompts = tuple(" ".join(prompt.split()[:6]) for prompt in heads["prompt"].iloc[at])
    return Case(case.rows, Sample(prompts, tuple(heads["intent"].iloc[at])))


FAULTS: dict[str, Callable[[Case, np.random.Generator], Case]] = {
    "capacity-cliff": _cliff,
    "dominated-model": _dominated,
    "tail-of-retries": _tail,
    "ungrounded-answers": _ungrounded,
    "price-without-use": _overpaid,
    "demo-bias": _biased,
}
"""By the code of the check that must find it."""


def plant(fault: str, seed: int, requests: int = 1200) -> Case:
    """Return a clean log with one fault in it."""
    return FAULTS[fault](clean_log(seed, requests), np.random.default_rng(seed + 1_000_000))
