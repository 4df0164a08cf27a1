"""The outcome of an audit: verdict in one line, the gravest first, JSON that holds everything."""

from __future__ import annotations

import json
from dataclasses import replace

from pointsman.audit.audit import Audit, Skipped, together
from pointsman.audit.finding import Finding, Measure, Place

FLAG = Finding(
    "no-timeout", "configuration", "medium", "big has no timeout.", Place("a.yaml", 3, "model_list.0"), "w", "f", "r"
)


def test_the_verdict_is_one_line_with_the_gravest_first() -> None:
    grave = replace(FLAG, check="one-model", severity="high", what="Everything goes to big.")
    note = replace(FLAG, check="note", severity="low", what="By the way.")
    audit = together([Audit(("a.yaml",), (FLAG, note), ("no-timeout",)), Audit(("b.yaml",), (grave,), ("one-model",))])
    assert audit.verdict == "2 RED FLAGS in a.yaml, b.yaml: Everything goes to big; big has no timeout."
    assert [one.severity for one in audit.findings] == ["high", "medium", "low"]
    assert audit.red_flags == (grave, FLAG)


def test_without_red_flags_it_says_how_much_was_checked() -> None:
    note = replace(FLAG, severity="low")
    assert Audit(("a.yaml",), (note,), ("no-timeout",)).verdict == "No red flag in a.yaml (1 check made)."


def test_many_red_flags_stay_one_line() -> None:
    many = tuple(replace(FLAG, check=f"c{index // 2}", what=f"Fault {index}.") for index in range(18))
    verdict = Audit(("a",), many).verdict
    assert "\n" not in verdict
    assert verdict.startswith("18 RED FLAGS in a: Fault 0 (and 1 more like it); Fault 2 (and 1 more like it); ")
    assert verdict.endswith("; and 4 more kinds.")


def test_json_holds_place_numbers_and_what_was_skipped() -> None:
    finding = replace(FLAG, numbers=(Measure("share", 0.5, 0.4, 0.6, "share"),))
    document = json.loads(json.dumps(Audit(("a",), (finding,), (), (Skipped("cliff", "no status"),)).to_dict()))
    assert document["findings"][0]["place"] == {"file": "a.yaml", "line": 3, "key": "model_list.0"}
    assert document["findings"][0]["numbers"][0]["low"] == 0.4
    assert document["skipped"] == [{"check": "cliff", "why": "no status"}]


def test_numbers_and_places_as_a_person_reads_them() -> None:
    assert str(Measure("flipped", 0.123, 0.1, 0.15, "share")) == "flipped 12.3 % [10.0 %, 15.0 %]"
    assert str(Measure("change", -0.02, unit="points")) == "change -2.0 points"
    assert str(Measure("p", 0.0001, unit="p")) == "p < 0.001"
    assert str(Place("a.yaml", 3, "x.y")) == "a.yaml:3 x.y"
    assert str(Place("a.parquet")) == "a.parquet"
