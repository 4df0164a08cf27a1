"""Overruling by hand: the bundle loads again, decides as told, and says that its proofs are of another policy."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.bundle import load_bundle, write_bundle
from pointsman.cli import main
from pointsman.conformance import check_conformance
from pointsman.errors import BundleError
from pointsman.overruling import changed_policy, overrule
from pointsman.router import Router
from pointsman.rules import LadderRule

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.policy import Policy

WHEN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
EVIDENCE = {
    "requests": 1200,
    "useful_value_usd": 0.05,
    "certificate": {"confidence": 0.95},
    "certified": {"verdict": "Ahead"},
    "thresholds": [
        {
            "where": "rule.trust",
            "value": 0.7,
            "unit": "share",
            "neutral": 0.0,
            "moved": 3,
            "of": 10,
            "overrule": "Set it.",
        }
    ],
}


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """Return a bundle of one's own that claims to be certified."""
    old = load_bundle(tiny_bundle)
    return write_bundle(
        tmp_path / "mine",
        graph=old.read("model.onnx"),
        tokenizer_json=old.read("tokenizer.json").decode(),
        policy=replace(old.policy, evidence=EVIDENCE),
        conformance=[json.loads(line) for line in old.read("conformance.jsonl").splitlines()],
        model_card="# Tiny\n\nAhead.\n",
        model_io=old.io,
        provenance=old.manifest["provenance"],
        seen=old.seen,
    )


def changed(bundle: Path, changes: dict[str, Any], why: str = "") -> list[dict[str, Any]]:
    document = changed_policy(load_bundle(bundle).policy.to_dict(), changes)
    return overrule(bundle, document, "Ada", why, WHEN)


def test_the_changed_bundle_loads_and_decides_as_it_was_told(bundle: Path) -> None:
    before = Router.load(bundle)
    assert {decision.model for decision in before.route_batch(["hello", "fix this code"])} != {"large"}
    changes = changed(bundle, {"safe_model": "large", **{f"pinned_intents.{name}": "large" for name in INTENTS}})
    assert changes[0] == {"path": "safe_model", "from": "small", "to": "large"}
    assert changes[1] == {"path": "pinned_intents.chat", "from": None, "to": "large"}
    router = Router.load(bundle)
    assert {decision.model for decision in router.route_batch(["hello", "fix this code"])} == {"large"}
    assert check_conformance(router) == []


INTENTS = ("chat", "code", "synthesis")


def test_it_is_written_down_and_the_proofs_are_put_aside(bundle: Path) -> None:
    changed(bundle, {"rule.useful_value_usd": 0.01}, "budget cut")
    changed(bundle, {"rule.useful_value_usd": 0.02})
    policy, card = load_bundle(bundle).policy, (bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert policy.rule.to_dict()["useful_value_usd"] == 0.02
    assert policy.evidence["overruled"] == [
        {
            "when": "2026-03-04T05:06:07+00:00",
            "who": "Ada",
            "why": why,
            "changed": [{"path": "rule.useful_value_usd", "from": old, "to": new}],
        }
        for old, new, why in ((0.05, 0.01, "budget cut"), (0.01, 0.02, ""))
    ]
    aside = {name: EVIDENCE[name] for name in ("certificate", "certified", "thresholds")}
    assert policy.evidence["before_overruling"] == aside
    assert not aside.keys() & policy.evidence.keys()
    assert policy.evidence["useful_value_usd"] == 0.05
    assert card.count("**Overruled by hand: the figures and certificates below are of the policy before") == 1
    assert card.index("Overruled by hand") < card.index("Ahead.") < card.index("budget cut")
    assert card.count("## Overruled by Ada") == 2


def test_what_training_measured_stays_the_measure(bundle: Path, tiny_bundle: Path) -> None:
    changed(bundle, {"rule.useful_value_usd": 0.01})

    def vectors(folder: Path) -> dict[str, dict[str, Any]]:
        lines = (folder / "conformance.jsonl").read_text(encoding="utf-8").splitlines()
        return {row["prompt"]: row for row in map(json.loads, lines)}

    before, after = vectors(tiny_bundle), vectors(bundle)
    both = before.keys() & after.keys()
    assert len(both) > 10
    for prompt in both:
        for key in ("input_ids", "intent_probs", "useful_probs"):
            assert after[prompt][key] == before[prompt][key]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expected.useful": []}, "expected.useful cannot be set; allowed: rule, safe_model"),
        ({"evidence.certificate": {}}, "evidence.certificate cannot be set"),
        ({"rul.trust": 0.5}, "rul.trust cannot be set"),
        ({"rule.trust": 1.5}, r"rule.trust is 1.5; a number from 0 to 1"),
        ({"rule.trusst": 0.5}, "rule has the keys .*trusst; needed: trust"),
        ({"rule.trust": "high"}, "rule.trust is 'high'"),
        ({"safe_model": "huge"}, "safe_model is 'huge'; allowed: small, medium, large"),
        ({"fallbacks.9.model": "small"}, "fallbacks.9.model is not there: '9' is no position in a list of 3"),
        ({"fallbacks.first": "small"}, "'first' is no position in a list of 3"),
        ({"guards.limit": 1}, "guards has the unknown key 'limit'"),
        ({"guards.lease_ms": float("nan")}, "guards.lease_ms is nan; a number from 1 to"),
        ({"rule.trust": 0.7}, "nothing is changed: the policy says so already"),
    ],
)
def test_what_cannot_be_changed_is_named_and_the_bundle_stays(
    bundle: Path, changes: dict[str, Any], message: str
) -> None:
    before = (bundle / "manifest.json").read_bytes()
    with pytest.raises(BundleError, match=message):
        changed(bundle, changes)
    assert (bundle / "manifest.json").read_bytes() == before
    load_bundle(bundle)


def test_a_policy_for_another_graph_is_refused(bundle: Path) -> None:
    document = load_bundle(bundle).policy.to_dict()
    document["text"] = {"head_chars": 1, "tail_chars": 1}
    with pytest.raises(BundleError, match="text cannot be changed; allowed: rule"):
        overrule(bundle, document, "Ada")


def test_names_with_dots_and_removals(tiny_policy: Policy) -> None:
    ladder = LadderRule(0.5, {"gpt-4": 0.1, "gpt-4.1": 0.2, "gpt-4.1.mini": 0.3})
    document = {**tiny_policy.to_dict(), "rule": ladder.to_dict(), "pinned_intents": {"a.b": "small"}}
    changes = {"rule.min_p_useful.gpt-4.1": 0.9, "pinned_intents.c.d": "large", "fallbacks.0.when.1": "synthesis"}
    found = changed_policy(document, changes)
    assert found["rule"]["min_p_useful"] == {"gpt-4": 0.1, "gpt-4.1": 0.9, "gpt-4.1.mini": 0.3}
    assert found["pinned_intents"] == {"a.b": "small", "c.d": "large"}
    assert found["fallbacks"][0]["when"] == ["chat", "synthesis"]
    assert changed_policy(found, {"pinned_intents.a.b": None})["pinned_intents"] == {"c.d": "large"}
    assert document["pinned_intents"] == {"a.b": "small"}, "what is given is left as it is"


def test_the_command_shows_and_changes(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["policy", "--bundle", str(bundle)]
    assert main([*words, "--json", str(tmp_path / "shown.json")]) == 0
    assert capsys.readouterr().out == "rule.trust = 0.7 (share): moved 3 of 10. Set it.\n"
    assert json.loads((tmp_path / "shown.json").read_text()) == EVIDENCE["thresholds"]
    change = ["--set", "rule.useful_value_usd=0.01", "--set", "safe_model=large"]
    assert main([*words, *change, "--who", "Ada", "--why", "so"]) == 0
    shown = capsys.readouterr().out
    assert "rule.useful_value_usd: 0.05 -> 0.01\n" in shown
    assert 'safe_model: "small" -> "large"\n' in shown
    assert "no certificate holds" in shown
    assert load_bundle(bundle).policy.evidence["overruled"][0]["who"] == "Ada"
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["useful_value_usd"] == 0.01
    shutil.copy(bundle / "policy.json", tmp_path / "edited.json")
    edited = json.loads((tmp_path / "edited.json").read_text(encoding="utf-8"))
    edited["rule"]["abstain"] = {"below_confidence": 0.4, "model": "large"}
    (tmp_path / "edited.json").write_text(json.dumps(edited), encoding="utf-8")
    assert main([*words, "--from", str(tmp_path / "edited.json")]) == 0
    assert load_bundle(bundle).policy.rule.abstain is not None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "rule.trust"], "--set 'rule.trust' has no value; allowed: PATH=VALUE"),
        (["--set", "rule.trust=2"], "rule.trust is 2; a number from 0 to 1"),
        (["--from", "gone.json"], "gone.json: not a policy"),
    ],
)
def test_a_bad_change_is_one_line(
    bundle: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policy", "--bundle", str(bundle), *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
