"""The data profile says what pandas says of the whole table, whatever the chunks, and names what a person should do."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pointsman.profile.data_profile import DataProfile, slice_names
from pointsman.profile.duplicates import RequestLog, normalised
from pointsman.profile.quantiles import LogQuantiles
from pointsman.sample_week import sample_week
from pointsman.traces import validate_traces

MODELS = {"small": 0.6, "middle": 0.3, "large": 0.1}
SPACES = {"plain": "{}", "loud": "  {} ", "wide": "{}\n\n", "narrow": "\u2003{}\u00a0"}


def logged(requests: int = 600, seed: int = 0, unlabelled: float = 0.3) -> pd.DataFrame:
    """Return a log: one model a request, drawn with its propensity, partly labelled, with prompts that come again."""
    rng = np.random.default_rng(seed)
    model = rng.choice(list(MODELS), requests, p=list(MODELS.values()))
    asked = [f"Where is parcel {n} Ä now" for n in rng.integers(0, requests, requests)]
    style = rng.choice(list(SPACES), requests)
    useful = np.where(rng.random(requests) < unlabelled, np.nan, (rng.random(requests) < 0.7).astype(float))
    rule = pd.Series(rng.choice(["thumbs", "judge"], requests)).mask(np.isnan(useful))
    frame = pd.DataFrame(
        {
            "request_id": [f"r{n:05d}" for n in range(requests)],
            "timestamp": pd.Timestamp("2026-03-02", tz="UTC") + pd.to_timedelta(np.arange(requests) * 7, unit="min"),
            "prompt": [
                SPACES[s].format(text.upper() if s == "loud" else text) for s, text in zip(style, asked, strict=True)
            ],
            "model": model,
            "latency_ms": rng.lognormal(6, 1, requests),
            "useful": useful,
            "cost_usd": np.where(model == "large", 0.01, 0.001),
            "retrieval_cost_usd": np.where(rng.random(requests) < 0.5, 0.0005, np.nan),
            "input_tokens": np.where(model == "small", np.nan, 100),
            "output_tokens": 20,
            "intent": pd.Series(rng.choice(["lookup", "complaint", ""], requests, p=[0.6, 0.3, 0.1])).replace("", None),
            "chosen": True,
            "propensity": [MODELS[name] for name in model],
            "hallucinated": False,
            "useful_by": rule,
        }
    )
    return validate_traces(frame).rows


def replayed(requests: int = 200) -> pd.DataFrame:
    """Return the answers of all models to each request, without a word on which one was served."""
    one = logged(requests).drop(columns=["chosen", "propensity"])
    every = pd.concat([one.assign(model=name) for name in MODELS], ignore_index=True)
    return validate_traces(every).rows


def profile(rows: pd.DataFrame, chunk: int = 10_000, **given: Any) -> dict[str, Any]:
    """Return the report of rows that come in chunks."""
    data = DataProfile()
    for start in range(0, len(rows), chunk):
        data.update(rows.iloc[start : start + chunk])
    return data.report(**given)


def by(entries: list[dict[str, Any]], key: str) -> dict[Any, dict[str, Any]]:
    return {entry[key]: entry for entry in entries}


def rounded(report: dict[str, Any]) -> Any:
    """Return a report without the last digits, in which sums of other chunks differ."""
    return json.loads(json.dumps(report), parse_float=lambda text: round(float(text), 9))


def codes(report: dict[str, Any]) -> dict[str, str]:
    return {one["code"]: one["severity"] for one in report["findings"]}


def test_figures_by_model_and_intent_are_those_of_the_whole_table() -> None:
    rows = logged()
    report = profile(rows, chunk=97)
    models, intents = by(report["models"], "model"), by(report["intents"], "intent")
    for name, part in rows.groupby("model"):
        entry = models[name]
        assert entry["rows"] == entry["served"] == len(part)
        assert entry["share"] == pytest.approx(len(part) / len(rows))
        assert entry["labelled"] == part["useful"].notna().sum()
        assert entry["useful_rate"] == pytest.approx(part["useful"].mean())
        full = part["cost_usd"] + part["retrieval_cost_usd"].fillna(0)
        assert entry["cost_usd"] == pytest.approx(full.mean())
        for key, share in (("p50_ms", 0.5), ("p95_ms", 0.95)):
            exact = np.quantile(part["latency_ms"], share, method="inverted_cdf")
            assert entry[key] == pytest.approx(exact, rel=0.0101)
    assert [entry["model"] for entry in report["models"]] == ["small", "middle", "large"]
    for intent, part in rows.groupby(rows["intent"].fillna("?")):
        entry = intents[None if intent == "?" else intent]
        assert (entry["requests"], entry["rows"]) == (len(part), len(part))
        assert entry["useful_rate"] == pytest.approx(part["useful"].mean())


@pytest.mark.parametrize("chunk", [1, 7, 250])
@pytest.mark.parametrize("rows", [logged(60), replayed(20)], ids=["log", "replays"])
def test_chunks_change_nothing(rows: pd.DataFrame, chunk: int) -> None:
    assert rounded(profile(rows, chunk=chunk)) == rounded(profile(rows))


def test_report_is_plain_json_without_prompts() -> None:
    text = json.dumps(profile(logged()), allow_nan=False)
    assert "parcel" not in text.lower()


def test_sample_week_is_replays_of_every_model() -> None:
    rows = validate_traces(sample_week(seed=1, requests=500).traces).rows
    report = profile(rows)
    assert (report["kind"], report["requests"], report["answers"]) == ("replays", 500, {"4": 500})
    served = {entry["model"]: entry["served_share"] for entry in report["models"]}
    assert served == rows.groupby("model")["chosen"].mean().to_dict()
    assert "not_tried" not in codes(report)


def test_logs_and_replays_are_told_apart() -> None:
    log, full = logged(200), replayed(200)
    assert profile(log)["kind"] == "logs"
    assert profile(full)["kind"] == "replays"
    mixed = pd.concat([full, log.assign(request_id="log " + log["request_id"])]).sort_values("timestamp")
    assert profile(mixed)["kind"] == "mixed"
    assert profile(log[log["model"] == "small"])["kind"] == "one model"


def test_rows_that_say_nothing_of_chosen_are_served_in_logs_only() -> None:
    silent = logged(200).assign(chosen=pd.array([pd.NA] * 200, dtype="boolean"))
    assert profile(silent)["overlap"]["served"] == 200
    assert profile(replayed(200))["overlap"]["served"] == 0


def test_answers_that_stand_apart_in_time_are_one_request() -> None:
    rows = replayed(60)
    later = rows["timestamp"] + pd.to_timedelta(rows["model"].map({"small": 0, "middle": 30, "large": 60}), unit="D")
    report = profile(rows.assign(timestamp=later).sort_values("timestamp", kind="stable"), chunk=50)
    together = profile(rows)
    for key in ("requests", "kind", "answers", "duplicates", "slices", "intents", "overlap"):
        assert report[key] == together[key]


def test_overlap_counts_each_cell_and_its_propensities() -> None:
    rows = logged(400)
    rows.loc[rows["model"] == "large", "useful"] = np.nan
    overlap = profile(rows)["overlap"]
    assert overlap["served"] == overlap["propensities"] == 400
    for entry in overlap["intents"]:
        for model, cell in zip(overlap["models"], entry["cells"], strict=True):
            intent = rows["intent"].isna() if entry["intent"] is None else rows["intent"] == entry["intent"]
            part = rows[(rows["model"] == model) & intent]
            labelled = part["useful"].notna().sum()
            assert (cell["rows"], cell["served"], cell["labelled"]) == (len(part), len(part), labelled)
            assert cell["propensity_min"] == part["propensity"].min()
            assert cell["propensity_median"] == pytest.approx(part["propensity"].median(), rel=0.05)
            assert cell["verdict"] == ("unlabelled" if model == "large" else "judged" if labelled >= 30 else "thin")


def test_propensities_are_those_of_what_was_served() -> None:
    rows = logged(100)
    replay = rows.assign(model="other", chosen=False, propensity=0.9, useful=1.0)
    overlap = profile(pd.concat([rows, replay]).sort_values(["timestamp", "request_id"]))["overlap"]
    at = overlap["models"].index("other")
    assert (overlap["served"], overlap["propensities"]) == (100, 100)
    assert all(entry["cells"][at]["propensity_min"] is None for entry in overlap["intents"])
    assert sum(entry["cells"][at]["rows"] for entry in overlap["intents"]) == 100


def test_it_may_go_on_after_a_report() -> None:
    rows = logged(100)
    data = DataProfile()
    data.update(rows.iloc[:40])
    assert data.report()["requests"] == 40
    data.update(rows.iloc[40:])
    assert rounded(data.report()) == rounded(profile(rows))


def test_a_model_never_tried_on_an_intent_is_found() -> None:
    rows = logged(600)
    gone = (rows["model"] == "middle") & (rows["intent"].fillna("") == "complaint")
    report = profile(rows[~gone])
    cells = {entry["intent"]: entry["cells"] for entry in report["overlap"]["intents"]}
    assert cells["complaint"][report["overlap"]["models"].index("middle")]["verdict"] == "empty"
    said = [one["text"] for one in report["findings"] if one["code"] == "not_tried"]
    assert any(text.startswith("middle was never tried on 1 of 2 intents (complaint)") for text in said)


def test_repeats_are_found_whatever_case_and_space() -> None:
    rows = logged(500)
    key = rows["prompt"].map(lambda text: " ".join(text.lower().split()))
    sizes = key.value_counts()
    report = profile(rows, chunk=33, cuts=(0.5, 0.7, 0.9))
    repeats = report["duplicates"]
    assert (repeats["prompts"], repeats["groups"]) == (len(sizes), (sizes > 1).sum())
    assert repeats["requests"] == sizes[sizes > 1].sum()
    assert repeats["largest"] == sizes.head(5).tolist()
    ends = [0, 250, 350, 450, 500]
    assert [entry["name"] for entry in report["slices"]] == ["slice 1", "slice 2", "slice 3", "slice 4"]
    for entry, start, end in zip(report["slices"], ends[:-1], ends[1:], strict=True):
        assert entry["requests"] == end - start
        assert entry["seen_before"] == key[start:end].isin(set(key[:start])).sum()


def test_normalising_is_lower_case_and_single_blanks() -> None:
    texts = [
        "Hello  World",
        " a\tb\n",
        "ÄPFEL\u00a0und\u2028Birnen",
        "",
        "   ",
        "fine as it is",
        "x\x1fy",
        "Straße \x85 ok",
    ]
    expected = [" ".join(text.lower().split()) for text in texts]
    assert normalised(pa.array(texts)).to_pylist() == expected


def test_slices_are_cut_as_fit_cuts() -> None:
    assert slice_names((0.7, 0.8)) == ["learn", "calibrate", "certify"]
    assert [entry["requests"] for entry in profile(logged(111))["slices"]] == [78, 11, 22]


def test_no_request_is_counted_twice_over_many_chunks() -> None:
    log = RequestLog()
    ids = [f"r{n // 3}" for n in range(30)]
    for start in range(0, 30, 2):
        log.add(pa.array(ids[start : start + 2]), pa.array(["same"] * 2), np.zeros(2, dtype=np.intp))
    requests, repeats = log.requests(), log.repeats((0.5,))
    assert (requests.count, requests.answers) == (10, {3: 10})
    assert (repeats.prompts, repeats.largest, repeats.slices, repeats.seen_before) == (1, [10], [5, 5], [0, 5])


def test_coverage_is_told_by_model_where_it_differs() -> None:
    rows = logged(300)
    coverage = by(profile(rows)["coverage"], "column")
    assert coverage["input_tokens"]["by_model"] == {"small": 0.0, "middle": 1.0, "large": 1.0}
    assert coverage["input_tokens"]["present"] == pytest.approx(rows["input_tokens"].notna().mean())
    assert (coverage["latency_ms"]["present"], coverage["latency_ms"]["by_model"]) == (1.0, None)
    assert coverage["user_id"]["present"] == 0


def test_labels_are_counted_by_value_and_rule() -> None:
    rows = logged(300)
    labels = profile(rows, chunk=40)["labels"]
    assert labels["labelled"] == rows["useful"].notna().sum() == labels["zero"] + labels["one"] + labels["between"]
    assert labels["unlabelled_share"] == pytest.approx(rows["useful"].isna().mean())
    for entry in labels["by_rule"]:
        part = rows[rows["useful_by"] == entry["rule"]]
        assert (entry["rows"], entry["useful_rate"]) == (len(part), pytest.approx(part["useful"].mean()))
    assert (labels["hallucinated_known"], labels["hallucinated_rate"]) == (1.0, 0.0)


def test_time_has_its_rhythm_and_gaps() -> None:
    rows = logged(300)
    rows["timestamp"] += pd.to_timedelta(np.where(np.arange(300) < 100, 0, 3), unit="D")
    time = profile(rows, chunk=101)["time"]
    assert (time["unit"], sum(time["counts"])) == ("hour", 300)
    assert time["first"] == "2026-03-02T00:00:00+00:00"
    assert time["gaps_total"] == 1
    assert time["gaps"][0]["hours"] == pytest.approx(72 + 7 / 60)
    assert time["counts"].count(0) >= 71


@pytest.mark.parametrize(("days", "unit"), [(2, "hour"), (30, "day"), (400, "week"), (4000, "month")])
def test_the_unit_of_time_fits_the_span(days: int, unit: str) -> None:
    rows = logged(50)
    rows["timestamp"] = pd.Timestamp("2015-01-01", tz="UTC") + pd.to_timedelta(np.linspace(0, days, 50), unit="D")
    time = profile(rows)["time"]
    assert (time["unit"], sum(time["counts"])) == (unit, 50)
    assert len(time["counts"]) < 220


def test_rows_out_of_order_are_refused() -> None:
    rows = logged(20)
    data = DataProfile()
    data.update(rows.iloc[10:])
    with pytest.raises(ValueError, match="order of time"):
        data.update(rows.iloc[:10])


def test_a_flood_of_names_stays_bounded() -> None:
    rows = logged(900)
    number = np.arange(900)
    rows = rows.assign(model=[f"m{n % 300}" for n in number], intent=[f"i{n}" for n in number])
    report = profile(rows.assign(status=[f"error {n}" for n in number]))
    assert len(report["models"]) == 65
    assert sum(entry["rows"] for entry in report["models"]) == 900
    assert len(report["intents"]) == 255
    assert sum(entry["requests"] for entry in report["intents"]) == 900
    assert len(report["statuses"]) == 33
    assert report["overlap"]["intents"][0]["intent"] == "(others)"
    assert "many_intents" in codes(report)


def test_nothing_gives_a_report_too() -> None:
    report = DataProfile().report({"rows_in": 3, "kept": 0, "aside": {"prompt: must be a text": 3}})
    assert (report["rows"], report["models"], report["time"]["counts"]) == (0, [], [])
    assert codes(report) == {"no_rows": "high", "aside": "high"}


def test_a_sound_table_has_nothing_grave() -> None:
    rows = logged(6000, unlabelled=0.0).assign(input_tokens=50)
    intake = {"rows_in": 6000, "kept": 6000, "aside": {}}
    assert "high" not in codes(profile(rows, intake=intake)).values()


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        ({"useful": np.nan}, "unlabelled", "high"),
        ({"useful": 1.0}, "labels_constant", "high"),
        ({"hallucinated": pd.NA}, "hallucinated_unknown", "low"),
        ({"intent": None}, "intent_missing", "medium"),
        ({"model": "only"}, "one_model", "high"),
        ({"cost_usd": np.nan}, "prices_missing", "high"),
        ({"cost_usd": np.nan, "input_tokens": 9.0}, "prices_missing", "medium"),
        ({"cost_usd": 0.0, "retrieval_cost_usd": 0.0}, "no_cost", "medium"),
        ({"propensity": np.nan}, "propensity_missing", "medium"),
        ({"propensity": 1.0}, "no_exploration", "high"),
        ({"propensity": 0.001}, "small_propensity", "low"),
        ({"latency_ms": 0.0}, "no_latency", "medium"),
        ({"cache_hit": True}, "cache_hits", "medium"),
        ({"prompt": "the same"}, "leakage", "medium"),
        ({"prompt": "the same"}, "duplicates", "medium"),
        ({"timestamp": pd.Timestamp("2026-01-01", tz="UTC")}, "short_span", "low"),
    ],
)
def test_each_fault_is_found(change: dict[str, Any], code: str, severity: str) -> None:
    sound = logged(1200)
    sound = sound.assign(
        intent=sound["intent"].fillna("lookup"), prompt="A question about order " + sound["request_id"]
    )
    assert codes(profile(sound)).get(code) != severity
    assert codes(profile(sound.assign(**change)))[code] == severity


@pytest.mark.parametrize(
    ("intake", "code", "severity"),
    [
        ({"rows_in": 700, "kept": 600, "aside": {"a rule": 99}}, "counts", "high"),
        ({"kept": 599}, "counts", "high"),
        ({"rows_in": 800, "kept": 600, "aside": {"a rule": 150, "another": 50}}, "aside", "high"),
        ({"aside": {"a rule": 1}}, "aside", "low"),
        ({"spans": 1000, "spans_without_call": 950}, "spans_without_call", "medium"),
        ({"scores_unread": {"helpfulness": 20}}, "scores_unread", "medium"),
        ({"prices_missing": {"large": 12}}, "prices_missing", "high"),
    ],
)
def test_what_the_intake_tells_is_found(intake: dict[str, Any], code: str, severity: str) -> None:
    assert codes(profile(logged(600), intake=intake))[code] == severity


def test_findings_come_gravest_first_and_say_what_to_do() -> None:
    found = profile(logged(600).assign(useful=np.nan, intent=None, cost_usd=np.nan))["findings"]
    ranks = [("high", "medium", "low").index(one["severity"]) for one in found]
    weights = [(rank, -one["weight"]) for rank, one in zip(ranks, found, strict=True)]
    assert weights == sorted(weights)
    assert len(set(weights)) > 3
    assert all(one["text"].endswith(".") and one["action"].endswith(".") for one in found)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.95, 1.0])
def test_quantiles_keep_their_relative_error(share: float) -> None:
    values = np.random.default_rng(3).lognormal(2, 3, 5000)
    groups = np.arange(5000) % 2
    sketch = LogQuantiles(2, low=1e-6, high=1e9, relative_error=0.02)
    for start in range(0, 5000, 777):
        sketch.add(groups[start : start + 777], values[start : start + 777])
    for group in (0, 1):
        exact = np.quantile(values[groups == group], share, method="inverted_cdf")
        assert sketch.quantile(group, share) == pytest.approx(exact, rel=0.0201)


def test_quantiles_of_the_ends_and_of_nothing() -> None:
    sketch = LogQuantiles(3, low=0.01, high=100, relative_error=0.01)
    sketch.add(np.array([0, 0, 1, 1]), np.array([0.0, 0.0, 1e6, np.nan]))
    assert (sketch.quantile(0, 0.5), sketch.quantile(1, 0.5), sketch.quantile(2, 0.5)) == (0.0, 1e6, None)
