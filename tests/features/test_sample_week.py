"""The sample week: what it must hold for the rest of the house to learn from it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from pointsman.sample_week import SampleWeek, sample_week

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = [
    "request_id",
    "timestamp",
    "prompt",
    "intent",
    "modality",
    "model",
    "chosen",
    "propensity",
    "useful",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "retries",
    "retry_cost_usd",
    "retrieval_cost_usd",
    "connector_cost_usd",
    "latency_ms",
    "status",
    "hallucinated",
    "context_tokens",
]
COSTS = ["cost_usd", "retry_cost_usd", "retrieval_cost_usd", "connector_cost_usd"]
BIG, SMALL, MID, VISION = "big-decoder-v2", "small-precise", "mid-writer", "vision-scout"
TRAIN_SHARE = 0.7
READ = 2_000  # characters of a prompt that the text models of these tests read

# A fair attempt at one hand-written pattern per intent (a line is one alternative of it); the first match wins.
KEYWORD_RULE = {
    "junk_adversarial": r"""
(ignore|forget|disregard|ignora|ignoriere|ignore) .*(rules|reglas|regeln|consignes)
system prompt|(big|large|small|dear|smart)\w* model|(system|admin|router)\]?:|</prompt>
\bbuy .* now\b|asdf|qwerty|repeat the word|[b-df-hj-np-tv-z]{7,}
""",
    "code": r"""
traceback|def \w+\(|select \w+_id|\b(regex|refactor|debug|unit tests|pull request|snippet|one-liner)\b
\b(python|rust|go|typescript|sql|bash|java|kotlin|ruby)\b.*\b(that|function|script|service|upgrading)\b
(function|script|service) .*\b(python|rust|typescript|sql|bash|java|kotlin|ruby)\b
""",
    "poetry": r"""
\b(haiku|limerick|sonnet|verses?|rhym\w+|ode|ballad|stanza|lullaby|poet|rap|lyrics|gedicht|reime|versos|vers)\b
(a|love|birthday|un|um|petit) (poem|poema|poème)\b|lines on\b
""",
    "image_question": r"""
\b(this|the|attached|these|esta|diesem|cette|from) (two )?(photo|picture|image|screenshot|scan|snapshot|pic)s?\b
\b(foto|imagen|bild)\b|attached,|\b(caption|alt text|transcribe|look at|identify)\b|what colou?r is
""",
    "summarise_long_doc": r"""
\b(summari[sz]e|sum up|summary of|tl;?dr|gist|key points|main points|takeaways|boil|cut this down|catch me up)\b
\b(recap|overview of|digest|abstract|condense|compress|resume|resumen|zusammen|résume|in short)\b|too long for me
""",
    "extraction": r"""
\b(extract|pull|parse|pick out|grab|fish|columns|as json|convert to csv|saca|extrae|donne-moi|hol)\b
\b(which|what|the|just|only|all) (order numbers|dates|email addresses|amounts|serial numbers|postcodes|currencies)\b
""",
    "rewriting": r"""
\b(rewrite|rephrase|reword|polish|smooth|tidy up|proofread|shorten|shorter|improve|grammar|spelling|version of)\b
\b(formuliere|reformule|corrige|reescribe|say this|put this|make (this|it)|too (stiff|wordy|blunt)|phrase this)\b
""",
    "complex_synthesis": r"""
\b(compare|weigh|trade-offs?|strategy|roadmap|analy[sz]e|evaluate|assess|scenario|long-term|second-order|affect)\b
\b(reconcile|argue|for and against|conclude|evidence|vergleiche|compara|folgen|different directions)\b
""",
    "support_complaint": r"""
\b(disappointed|ridiculous|ignored|charged|refund|billed|compensation|apology|broken|never came|rebooting|whistling)\b
\b(enough|third time|nobody answers|kaputt|cancel|third technician|facturé|cobraron|problem|sent back|complaint)\b
""",
    "navigation": r"""
^(\W*\w+,? )?(open|go to|take me|show me|bring up|jump to|where|find|get me|back to|link|url|log in|sign in)\b
\b(page|menu|section|tab|button|settings|login|dashboard|gallery|form|policy|editor|dónde|wo (finde|kann)|où)\b
""",
    "chit_chat": r"""
^(hi|hello|hey|good \w+|thanks?|thank you|haha|lol|wow|hola|danke|merci|obrigado|olá)\b.{0,25}$
\b(i'm|i am|feeling|made me) \w+|how are you|joke|do you (like|dream|remember)|are you|my (cat|dog)|would win
""",
    "short_factual_lookup": r".",
}


@pytest.fixture(scope="module")
def week() -> SampleWeek:
    return sample_week(seed=0)


@pytest.fixture(scope="module")
def traces(week: SampleWeek) -> pd.DataFrame:
    return week.traces


@pytest.fixture(scope="module")
def logged(traces: pd.DataFrame) -> pd.DataFrame:
    """What production really served: one row per request."""
    return traces[traces["chosen"]].reset_index(drop=True)


@pytest.fixture(scope="module")
def text_matrix(logged: pd.DataFrame) -> tuple[object, object, int]:
    """TF-IDF of the first and the last part of the week, and where the cut is."""
    cut = int(TRAIN_SHARE * len(logged))
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    prompts = logged["prompt"].str.slice(0, READ)
    return vectorizer.fit_transform(prompts[:cut]), vectorizer.transform(prompts[cut:]), cut


def full_cost(rows: pd.DataFrame) -> pd.Series[float]:
    return rows[COSTS].sum(axis=1)


def of_model(traces: pd.DataFrame, column: str, model: str) -> NDArray[np.float64]:
    return traces.loc[traces["model"] == model, column].to_numpy(dtype=np.float64, na_value=np.nan)


# --- the table -------------------------------------------------------------------------------------------------------


def test_same_seed_gives_the_same_week() -> None:
    first, second = sample_week(seed=3, requests=300), sample_week(seed=3, requests=300)
    pd.testing.assert_frame_equal(first.traces, second.traces)
    assert first.spec == second.spec


def test_other_seed_gives_another_week() -> None:
    first, second = sample_week(seed=3, requests=300), sample_week(seed=4, requests=300)
    assert not first.traces["prompt"].equals(second.traces["prompt"])
    assert not first.traces["latency_ms"].equals(second.traces["latency_ms"])


@pytest.mark.parametrize("requests", [1, 2, 57])
def test_any_size_works(requests: int) -> None:
    assert len(sample_week(requests=requests).traces) == 4 * requests


def test_an_empty_week_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        sample_week(requests=0)


def test_schema(week: SampleWeek, traces: pd.DataFrame) -> None:
    assert list(traces.columns) == COLUMNS
    assert len(traces) == 6000 * 4
    assert traces["request_id"].iloc[0] == "week-000001"
    assert not traces.duplicated(["request_id", "model"]).any()
    assert set(traces["model"]) == set(week.spec["candidates"])
    assert set(traces["modality"]) == {"text", "image"}
    assert set(traces["status"]) == {"ok", "timeout", "error"}
    assert traces["intent"].nunique() == 12
    assert str(traces["timestamp"].dt.tz) == "UTC"
    assert traces["timestamp"].is_monotonic_increasing
    assert traces["useful"].isin([0.0, 1.0]).all()
    assert (traces[[*COSTS, "retries", "input_tokens", "context_tokens"]] >= 0).all(axis=None)
    assert (traces["latency_ms"] > 0).all()
    assert (traces["input_tokens"] > traces["context_tokens"]).all()


def test_production_always_chose_the_large_model(traces: pd.DataFrame) -> None:
    assert (traces["chosen"] == (traces["model"] == BIG)).all()
    assert (traces.loc[traces["chosen"], "propensity"] == 1.0).all()
    assert traces.loc[~traces["chosen"], "propensity"].isna().all()


def test_unknown_stays_missing(traces: pd.DataFrame) -> None:
    failed = traces["status"] != "ok"
    assert traces.loc[failed, ["output_tokens", "hallucinated"]].isna().all(axis=None)
    assert traces.loc[~failed, ["output_tokens", "hallucinated"]].notna().all(axis=None)
    assert (traces.loc[failed, "useful"] == 0.0).all()


def test_cost_is_tokens_times_price(week: SampleWeek, traces: pd.DataFrame) -> None:
    answered = traces[traces["status"] == "ok"]
    price_in = answered["model"].map({name: one["input_usd_per_mtok"] for name, one in week.spec["candidates"].items()})
    price_out = answered["model"].map(
        {name: one["output_usd_per_mtok"] for name, one in week.spec["candidates"].items()}
    )
    expected = (answered["input_tokens"] * price_in + answered["output_tokens"].astype(float) * price_out) / 1e6
    np.testing.assert_allclose(answered["cost_usd"], expected)


def test_spec(week: SampleWeek) -> None:
    spec = week.spec
    assert spec["baseline"] == "as_logged"
    assert spec["safe_model"] == SMALL
    assert spec["constraints"]["p95_latency_ms"] == 220
    assert "image" in spec["candidates"][VISION]["modalities"]
    assert "image" not in spec["candidates"][BIG]["modalities"]


# --- the calibration -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "tolerance"), [(0, 0.03), (1, 0.06), (2, 0.06)])
def test_as_logged_shows_the_post_mortem(seed: int, tolerance: float) -> None:
    week = sample_week(seed=seed)
    served = week.traces[week.traces["chosen"]]
    assert served["latency_ms"].median() == pytest.approx(120.0, rel=tolerance)
    assert served["latency_ms"].quantile(0.95) == pytest.approx(600.0, rel=tolerance)
    monthly = full_cost(served).mean() * week.spec["requests_per_month"]
    assert monthly == pytest.approx(12_000.0, rel=tolerance)
    assert 0.75 <= served["useful"].mean() <= 0.82


def test_an_assignment_by_intent_reaches_the_latency_bound_at_a_fraction_of_the_cost(
    week: SampleWeek, traces: pd.DataFrame, logged: pd.DataFrame
) -> None:
    target = dict.fromkeys(("short_factual_lookup", "navigation", "extraction", "chit_chat", "junk_adversarial"), SMALL)
    target |= dict.fromkeys(("rewriting", "poetry", "summarise_long_doc", "support_complaint", "code"), MID)
    target |= {"image_question": VISION, "complex_synthesis": BIG}
    routed = traces[traces["model"] == traces["intent"].map(target)]
    assert len(routed) == len(logged)
    assert routed["latency_ms"].quantile(0.95) < 235
    assert 85 < routed["latency_ms"].median() < 100
    assert full_cost(routed).sum() < 0.42 * full_cost(logged).sum()
    assert routed["useful"].mean() > logged["useful"].mean() + 0.01


def test_knowing_the_outcome_would_do_better_still(traces: pd.DataFrame, logged: pd.DataFrame) -> None:
    best = traces.groupby("request_id")["useful"].max().mean()
    assert logged["useful"].mean() + 0.1 < best < 0.97


# --- the clock -------------------------------------------------------------------------------------------------------


def test_daily_rhythm(logged: pd.DataFrame) -> None:
    stamps = logged["timestamp"]
    assert stamps.iloc[-1] - stamps.iloc[0] < pd.Timedelta(days=7)
    by_hour = stamps.dt.hour.value_counts()
    assert by_hour[[9, 10, 11]].mean() > 2.5 * by_hour[[1, 2, 3]].mean()
    by_day = stamps.dt.dayofweek.value_counts()
    assert by_day[[5, 6]].mean() < 0.8 * by_day[[0, 1, 2, 3, 4]].mean()


def test_bursts(logged: pd.DataFrame) -> None:
    quarter = logged["timestamp"].dt.floor("15min")
    count = quarter.value_counts().sort_index()
    around = count.rolling(13, center=True, min_periods=1).median()
    assert (count > 1.7 * around.clip(lower=10)).sum() >= 4


def test_latency_grows_with_load(traces: pd.DataFrame) -> None:
    slowdown = {}
    for model in (SMALL, BIG):
        rows = traces[(traces["model"] == model) & (traces["status"] == "ok") & (traces["retries"] == 0)]
        hour = rows["timestamp"].dt.hour
        simple = rows["intent"].isin(["navigation", "chit_chat"])
        night, peak = rows[simple & (hour < 5)], rows[simple & hour.between(9, 12)]
        slowdown[model] = peak["latency_ms"].median() / night["latency_ms"].median()
    assert slowdown[BIG] > 1.05
    assert slowdown[BIG] > slowdown[SMALL]


# --- the prompts -----------------------------------------------------------------------------------------------------


def test_prompts_vary(logged: pd.DataFrame) -> None:
    prompts = logged["prompt"]
    assert prompts.nunique() > 0.95 * len(prompts)
    length = prompts.str.len()
    assert length.min() >= 1
    assert 60 <= length.median() <= 95
    assert 0.01 < length.between(2_000, 8_000).mean() < 0.05
    assert 0.05 < (~prompts.map(str.isascii)).mean() < 0.3
    assert not prompts.str.contains(r"\{\w+\}|\{\+", regex=True).any(), "an unfilled slot"


def test_shares_are_unequal(logged: pd.DataFrame) -> None:
    share = logged["intent"].value_counts(normalize=True)
    assert share["short_factual_lookup"] + share["navigation"] > 0.4
    assert 0.01 < share.min() < 0.05


def test_text_tells_the_intent_but_keywords_do_not(
    logged: pd.DataFrame, text_matrix: tuple[object, object, int]
) -> None:
    known, unseen, cut = text_matrix
    intent = logged["intent"].to_numpy()
    rules = {
        name: re.compile("|".join(pattern.strip().splitlines()), re.IGNORECASE)
        for name, pattern in KEYWORD_RULE.items()
    }
    by_rule = np.array(
        [next(name for name, rule in rules.items() if rule.search(text)) for text in logged["prompt"][cut:]]
    )
    learned = LogisticRegression(C=10.0, max_iter=150).fit(known, intent[:cut]).predict(unseen)
    keyword_accuracy = (by_rule == intent[cut:]).mean()
    learned_accuracy = (learned == intent[cut:]).mean()
    assert 0.5 < keyword_accuracy < 0.8
    assert keyword_accuracy + 0.12 < learned_accuracy < 0.985


def test_text_tells_part_of_the_difficulty(
    traces: pd.DataFrame, logged: pd.DataFrame, text_matrix: tuple[object, object, int]
) -> None:
    known, unseen, cut = text_matrix
    useful = of_model(traces, "useful", SMALL)
    score = LogisticRegression(max_iter=150).fit(known, useful[:cut]).decision_function(unseen)
    intent, truth = logged["intent"].to_numpy()[cut:], useful[cut:]
    within, weight = [], []
    for name in np.unique(intent):
        here = intent == name
        if 10 <= truth[here].sum() <= here.sum() - 10:
            within.append(roc_auc_score(truth[here], score[here]))
            weight.append(here.sum())
    assert len(within) >= 6
    assert 0.55 < np.average(within, weights=weight) < 0.9


# --- the phenomena ---------------------------------------------------------------------------------------------------


def test_the_large_model_is_not_always_the_most_useful(traces: pd.DataFrame) -> None:
    rate = traces.groupby(["intent", "model"])["useful"].mean().to_dict()
    for simple in ("short_factual_lookup", "navigation"):
        assert rate[(simple, SMALL)] > rate[(simple, BIG)]
    for hard in ("code", "complex_synthesis"):
        assert rate[(hard, BIG)] > rate[(hard, MID)] + 0.1
        assert rate[(hard, MID)] > rate[(hard, SMALL)] + 0.1


def test_models_disagree_within_an_intent(traces: pd.DataFrame, logged: pd.DataFrame) -> None:
    small, big = of_model(traces, "useful", SMALL), of_model(traces, "useful", BIG)
    for intent in ("rewriting", "support_complaint", "short_factual_lookup"):
        here = (logged["intent"] == intent).to_numpy()
        assert ((small > big) & here).sum() >= 5
        assert ((small < big) & here).sum() >= 5


def test_images_are_lost_on_text_only_models(traces: pd.DataFrame) -> None:
    images = traces[traces["modality"] == "image"]
    seen, unseen = images[images["model"] == VISION], images[images["model"] != VISION]
    assert seen["useful"].mean() > 0.6
    assert unseen["useful"].mean() < 0.2
    assert unseen["hallucinated"].mean() > 0.3


def test_grounding_prevents_hallucination(traces: pd.DataFrame) -> None:
    for intent in ("short_factual_lookup", "complex_synthesis"):
        rows = traces[(traces["intent"] == intent) & (traces["modality"] == "text")]
        grounded = rows["retrieval_cost_usd"] > 0
        assert 0.5 < grounded.mean() < 0.9
        assert rows.loc[~grounded, "hallucinated"].mean() > 2 * rows.loc[grounded, "hallucinated"].mean()


def test_hallucinated_answers_are_mostly_useless(traces: pd.DataFrame) -> None:
    invented = traces["hallucinated"].fillna(value=False).astype(bool)
    assert traces.loc[invented, "useful"].mean() < 0.2


def test_connectors_belong_to_their_intents(logged: pd.DataFrame) -> None:
    share = (logged["connector_cost_usd"] > 0).groupby(logged["intent"]).mean()
    assert (share[["support_complaint", "code", "image_question"]] > 0.4).all()
    assert share["navigation"] == 0


def test_retries_and_timeouts(week: SampleWeek, traces: pd.DataFrame) -> None:
    retried = traces["retries"] > 0
    assert 0.005 < retried.mean() < 0.05
    assert (traces.loc[retried, "retry_cost_usd"] > 0).all()
    assert (traces.loc[~retried, "retry_cost_usd"] == 0).all()
    assert (traces["status"] == "timeout").sum() >= 5
    for model, candidate in week.spec["candidates"].items():
        rows = traces[(traces["model"] == model) & (traces["status"] == "timeout")]
        assert (rows["latency_ms"] > candidate["timeout_ms"]).all()
    size = traces["input_tokens"] + 4 * traces["output_tokens"].astype(float).fillna(0)
    assert retried[size > 3_000].mean() > retried[size < 1_000].mean()


def test_long_documents_do_not_fit_the_small_model(week: SampleWeek, traces: pd.DataFrame) -> None:
    window = traces["model"].map({name: one["context_window"] for name, one in week.spec["candidates"].items()})
    overlong = traces["input_tokens"] > window
    assert overlong[traces["model"] == SMALL].sum() >= 10
    assert (traces.loc[overlong, "status"] == "error").all()
    assert (traces.loc[overlong, "cost_usd"] == 0).all()


def test_latency_grows_with_the_answer(traces: pd.DataFrame) -> None:
    calm = traces[(traces["status"] == "ok") & (traces["retries"] == 0)]
    for _, rows in calm.groupby("model"):
        assert rows["output_tokens"].astype(float).corr(rows["latency_ms"], method="spearman") > 0.6
