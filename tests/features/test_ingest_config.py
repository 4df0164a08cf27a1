"""The configuration of ingest: what may be written, and how well the errors read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pointsman.errors import ConfigError
from pointsman.ingest_config import REDACTIONS, IngestConfig, load_ingest_config, parse_ingest_config

FULL = """\
columns:
  request_id: id
  prompt: body.question
  timestamp: {column: ts, unit: ms}
  scores.stars: feedback.stars
  tags.team: meta.team
outcome_columns: [m, n]
assume: {latency_ms: {m: 900}, timestamp: order}
models:
  gpt-4o-2024-08-06: gpt-4o
intent: {from: [topic, intent], tags: [billing, small-talk]}
useful:
  - logged
  - score: {names: stars, by: [user], at_least: 4}
  - score: {names: [csat], low: 1, high: 5}
  - score: {names: verdict, words: {good: 1, so-so: 0.5, bad: 0}}
  - flag: {names: [escalated]}
  - refund
  - failed: {statuses: [dropped]}
  - abandoned
  - judge
hallucinated: {names: [grounding], at_most: 0.3}
cached_answers: keep
prices: prices.csv
redact: [email, card]
behaviour:
  user_retry: {within_s: 90, similarity: 0.9}
  left: {after_ms: 30000}
"""


def load(folder: Path, text: str) -> IngestConfig:
    file = folder / "ingest.yaml"
    file.write_text(text, encoding="utf-8")
    return load_ingest_config(file)


def fault(folder: Path, text: str) -> str:
    """Return the error's line, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    said = str(caught.value)
    assert "\n" not in said
    for jargon in ("Input should", "float", "union", "literal", "pydantic", "Spec", "Rule"):
        assert jargon not in said
    return said.replace(f"{folder}/", "")


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    config = load(tmp_path, "")
    assert config == parse_ingest_config({})
    assert [rule.name for rule in config.useful] == ["logged", "feedback", "refund", "failed", "judge"]
    assert config.intent.keys == ["intent"]
    assert config.intent.self_training is None
    assert config.cached_answers == "put_aside"
    assert config.redactions == ()
    assert config.behaviour.user_retry is None
    assert config.behaviour.left is None


def test_everything_can_be_said(tmp_path: Path) -> None:
    config = load(tmp_path, FULL)
    assert config.mapping == {
        "request_id": "id",
        "prompt": "body.question",
        "timestamp": {"column": "ts", "unit": "ms"},
        "scores.stars": "feedback.stars",
        "tags.team": "meta.team",
    }
    assert config.assumptions == {"latency_ms": {"m": 900.0}, "timestamp": "order"}
    assert config.outcome_columns == ["m", "n"]
    assert [rule.name for rule in config.useful] == [
        *("logged", "score:stars", "score:csat", "score:verdict", "flag:escalated", "refund", "failed", "abandoned"),
        "judge",
    ]
    assert config.useful[1].body.names == ["stars"]
    assert config.behaviour.user_retry is not None
    assert config.behaviour.user_retry.min_characters == 12


def test_prices_stand_beside_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, "prices: prices.csv").prices == str(tmp_path / "prices.csv")
    assert load(tmp_path, "prices: /data/prices.csv").prices == str(Path("/data/prices.csv"))


def test_all_redacts_every_kind(tmp_path: Path) -> None:
    assert load(tmp_path, "redact: all").redactions == REDACTIONS
    assert load(tmp_path, "redact: [ip]").redactions == ("ip",)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (
            "cashed_answers: keep",
            1,
            "cashed_answers is an unknown key (did you mean cached_answers?); allowed: columns,",
        ),
        (
            "columns:\n  model: m\n  promt: x",
            3,
            "columns.promt is an unknown key (did you mean prompt?); allowed: request",
        ),
        ("columns: {scores.: x}", 1, "columns.scores. is an unknown key; allowed: .*scores.NAME, tags.NAME$"),
        ("columns: {prompt: 3}", 1, "columns.prompt is 3; allowed: a text: put it in quotes"),
        ("columns: {timestamp: {column: ts, unit: min}}", 1, "columns.timestamp.unit is 'min'; allowed: s, ms, us, ns"),
        ("assume: {latency_ms: -1}", 1, "assume.latency_ms is -1; allowed: a number of at least 0"),
        ("assume: {cost_usd: 1}", 1, "assume.cost_usd is an unknown key; allowed: latency_ms, timestamp"),
        ("useful: logged", 1, "useful is 'logged'; allowed: a list of rules, each one of logged, feedback, judge,"),
        (
            "useful:\n- logged\n- feedbak",
            3,
            "useful.1.feedbak is an unknown key (did you mean feedback?); allowed: logged",
        ),
        ("useful: [3]", 1, "useful.0 is 3; allowed: one of logged, feedback"),
        ("useful: [logged: {by: x}]", 1, "useful.0.logged.by is an unknown key; allowed: none"),
        (
            "useful: [logged:]",
            1,
            "useful.0.logged is nothing; allowed: a mapping of parameters, or the word logged alone",
        ),
        ("useful: [{logged: {}, judge: {}}]", 1, "useful.0 has the keys judge, logged; allowed: one of logged,"),
        ("useful:\n- score: {at_least: 4}", 2, "useful.0.score.names is missing; allowed: a name of scores or tags"),
        (
            "useful:\n- score:\n    names: x\n    at_lest: 4",
            4,
            "useful.0.score.at_lest is an unknown key (did you mean at_least?); allowed: names, by,",
        ),
        (
            "useful:\n- score:\n    names: x\n    by: [usr]",
            4,
            "useful.0.score.by.0 is 'usr'; allowed: user, human, judge",
        ),
        (
            "useful: [score: {names: x, low: 1}]",
            1,
            "useful.0.score.high is missing beside low; allowed: a number other",
        ),
        (
            "useful: [score: {names: x, low: 1, high: 1}]",
            1,
            "useful.0.score.high is 1, the same as low; allowed: a number",
        ),
        (
            "useful:\n- score:\n    names: x\n    at_least: 4\n    words: {a: 1}",
            5,
            "useful.0.score.words stands beside at_least; allowed: one of at_least, at_most, low and high, words",
        ),
        ("useful: [score: {names: x, words: {a: 2}}]", 1, "useful.0.score.words.a is 2; allowed: a number from 0 to 1"),
        (
            "useful: [flag: {names: []}]",
            1,
            r"useful.0.flag.names is \[\]; allowed: a name of scores or tags, or a list",
        ),
        ("hallucinated: {names: x}", 1, "hallucinated tells no threshold and no words; allowed: one of at_least,"),
        ("redact: [emial]", 1, "redact.0 is 'emial'; allowed: email, phone, key, card, iban, ip"),
        ("redact: some", 1, "redact is 'some'; allowed: all, or a list of email"),
        ("intent: {form: [x]}", 1, r"intent.form is an unknown key (did you mean from?); allowed: from, tags"),
        ("intent: {self_training: {precision: 1}}", 1, "intent.self_training.precision is 1; allowed: a number of at"),
        (
            "behaviour: {user_retry: {within_s: no}}",
            1,
            "behaviour.user_retry.within_s is 'no'; allowed: a number above 0",
        ),
        ("behaviour: {left: {}}", 1, "behaviour.left.after_ms is missing; allowed: a number above 0"),
        ("models: {a: b}\nmodels: {a: c}", 2, r"models is given twice \(first on line 1\); once is allowed"),
        ("a: 1\nb: 2", 1, r"a is an unknown key; allowed: .* \(1 more fault\)$"),
    ],
)
def test_errors_name_line_key_value_and_what_is_allowed(tmp_path: Path, text: str, line: int, words: str) -> None:
    said = fault(tmp_path, text)
    assert said.startswith(f"ingest.yaml, line {line}: ")
    assert re.match(words.replace("(did", r"\(did").replace("?)", r"\?\)"), said.split(": ", 1)[1])


def test_other_faults_of_a_file(tmp_path: Path) -> None:
    assert "the configuration is 'x'; allowed: a mapping with the keys columns, outcome_columns" in fault(tmp_path, "x")
    assert "not YAML" in fault(tmp_path, "a: [")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_ingest_config(tmp_path / "none.yaml")


def test_the_configuration_cannot_be_changed() -> None:
    config = parse_ingest_config({})
    with pytest.raises(ValueError, match="frozen"):
        config.cached_answers = "keep"
