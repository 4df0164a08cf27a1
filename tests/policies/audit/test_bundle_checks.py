"""A bundle under pressure: brittle ones are found, robust ones are not; budgets bound a flood; outcomes tell."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pointsman.audit.adversarial import adversarial_findings, flood
from pointsman.audit.brittleness import brittleness, brittleness_findings, brittleness_table
from pointsman.audit.catalogue import CHECKS, as_markdown
from pointsman.audit.expected_routes import route_findings
from pointsman.audit.outcome_checks import calibration_findings, fairness_findings, slice_findings, slices_of
from pointsman.audit.perturb import KINDS, MEANING_KEPT, perturbed
from pointsman.audit.prompt_files import SETS, PromptCase, packaged, read_cases, read_sample
from pointsman.audit.routed import route_all
from pointsman.decide import Reading
from pointsman.errors import ConfigError
from pointsman.guards.settings import Budget, GuardSettings
from pointsman.rules import ValueRule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pointsman.policy import Policy

USEFUL = np.array([[0.90, 0.92, 0.95], [0.55, 0.80, 0.93], [0.30, 0.60, 0.90]])
INTENTS = 3


@pytest.fixture
def policy(tiny_policy: Policy) -> Policy:
    """Return a policy that sends chat to the small model and the rest to the medium one."""
    return replace(tiny_policy, rule=ValueRule(trust=1.0, useful_value_usd=0.03))


def reading(codes: Sequence[int]) -> Reading:
    probs = np.full((len(codes), INTENTS), 0.02, dtype=np.float32)
    probs[np.arange(len(codes)), codes] = 0.96
    return Reading(probs, USEFUL[list(codes)].astype(np.float32))


def robust(texts: Sequence[str]) -> Reading:
    """Read one thing in every prompt."""
    return reading([0] * len(texts))


def brittle(texts: Sequence[str]) -> Reading:
    """Read something else in every spelling."""
    return reading([hashlib.sha256(text.encode()).digest()[0] % INTENTS for text in texts])


def gullible(texts: Sequence[str]) -> Reading:
    """Believe in difficulty when told of it."""
    return reading([2 * any(word in text for word in ("complex", "expensive", "highest")) for text in texts])


def test_every_kind_of_change_changes_the_text_and_is_the_same_again() -> None:
    text = "Please compare the two contracts and list every contradiction."
    for kind in KINDS:
        assert perturbed(kind, text) == perturbed(kind, text)
        assert perturbed(kind, text) != text
    assert perturbed("upper case", text).lower() == text.lower()
    assert " ".join(perturbed("whitespace", text).split()) == text
    assert "{x}" in perturbed("paraphrase", "print {x}")


def test_a_brittle_bundle_is_found_and_a_robust_one_is_not(policy: Policy) -> None:
    cases = packaged("brittleness")
    found = list(brittleness_findings(brittleness(brittle, policy, [], cases), "b"))
    assert {one.place.key for one in found} >= set(MEANING_KEPT)
    assert all(one.red and one.examples for one in found)
    flips = brittleness(robust, policy, [], cases)
    assert list(brittleness_findings(flips, "b")) == []
    rows = brittleness_table(flips)
    assert {row["kind"] for row in rows} >= {*KINDS, "typos (written)", "terse (written)", "rephrased (written)"}
    assert all(row["flipped"] == 0 for row in rows)


def test_words_that_buy_the_dear_model_are_found(policy: Policy) -> None:
    simple = [case.prompt for case in packaged("brittleness") if case.kind == "base"]
    sets = (packaged("adversarial"), packaged("stress"))
    found = {one.check: one for one in adversarial_findings(gullible, policy, *sets, simple, "b")}
    assert found["buys-the-dear-model"].red
    assert found["unbounded-spending"].red
    assert list(adversarial_findings(robust, policy, *sets, simple, "b")) == []


def test_the_guards_really_run_and_bound_a_flood(policy: Policy) -> None:
    attack = route_all(gullible, policy, ["a complex question"] * 10)
    ordinary = float(attack.beliefs.cost_usd[0].mean())
    free = flood(policy, attack, ordinary, requests=600)
    hour = 0.25 * free.unguarded
    bounded = replace(policy, guards=GuardSettings(budget=Budget(usd_per_hour=hour)))
    kept = flood(bounded, attack, ordinary, requests=600)
    assert kept.unguarded == pytest.approx(free.unguarded)
    assert kept.spent < 0.5 * kept.unguarded
    assert kept.on_others <= 1.05 * hour


def test_junk_that_goes_to_the_dearest_is_found(policy: Policy) -> None:
    def upwards(texts: Sequence[str]) -> Reading:
        return reading([2] * len(texts))

    policy = replace(policy, rule=ValueRule(trust=1.0, useful_value_usd=0.5))
    checks = [one.check for one in adversarial_findings(upwards, policy, (), packaged("stress"), [], "b")]
    assert checks == ["junk-to-the-dear-model"]


def test_expected_routes_are_held_against_decisions(policy: Policy, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(
        '{"id": "a", "prompt": "hello", "expect": {"intent": "chat", "model": ["small", "medium"]}}\n'
        '{"id": "b", "prompt": "a complex one", "expect": {"same_as": "a"}}\n'
        '{"id": "c", "prompt": "hello?", "expect": {"not_dearer_than": "a", "not_model": "large", "able": true}}\n',
        encoding="utf-8",
    )
    cases = read_cases(file)
    assert list(route_findings(robust, policy, cases, "mine")) == []
    (finding,) = route_findings(gullible, policy, cases, "mine")
    assert finding.what == "1 of 6 expectations are not met"
    assert finding.examples[0].startswith("b: same_as a expected")
    with pytest.raises(ConfigError, match=r"expect\.model is 'tiny'; allowed: small, medium, large"):
        list(route_findings(robust, policy, [PromptCase("x", "1", expect={"model": "tiny"})], "mine"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{}", "prompt is None"),
        ('{"prompt": "x", "expct": {}}', "unknown key 'expct'"),
        ('{"prompt": "x", "expect": {"colour": 1}}', "expect is"),
        ('{"prompt": "x", "repeat": 0}', "repeat is 0"),
        ('{"prompt": "x", "modality": "smell"}', "modality is 'smell'"),
        ('{"prompt": "x", "expect": {"same_as": "zz"}}', "the id of no case"),
        ("[1]", "a JSON object is needed"),
        ("{", "not JSON"),
        ("", "no prompt in it"),
    ],
)
def test_a_bad_line_of_a_set_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "set.jsonl"
    file.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_cases(file)


def test_a_set_may_be_csv(tmp_path: Path) -> None:
    file = tmp_path / "set.csv"
    file.write_text("id,prompt,context_tokens,expect.intent\na,hello,12,chat\n", encoding="utf-8")
    (case,) = read_cases(file)
    assert (case.context_tokens, case.expect) == (12, {"intent": "chat"})


def test_evaluation_prompts_are_read_from_text_and_from_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\ntwo\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"prompt": "one", "intent": "chat"}\n', encoding="utf-8")
    assert read_sample(tmp_path / "a.txt").prompts == ("one", "two")
    assert read_sample(tmp_path / "b.jsonl").intents == ("chat",)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_sample(tmp_path / "absent.txt")


def test_the_packaged_sets_are_sound() -> None:
    for name in SETS:
        cases = packaged(name)
        assert len({case.id for case in cases}) == len(cases) > 10
    assert any(case.kind == "control" for case in packaged("adversarial"))
    assert max(len(case.prompt) for case in packaged("stress")) >= 400_000


def outcomes_of_beliefs(make: Callable[..., Any], n: int = 600, gap: float = 0.0) -> Any:
    rng = np.random.default_rng(5)
    return make((rng.random((n, 3)) < USEFUL[0] - np.array([gap, 0, 0])).astype(float), intent="chat")


def test_beliefs_that_are_wrong_for_an_intent_are_found(make_outcomes: Callable[..., Any], policy: Policy) -> None:
    right, wrong = outcomes_of_beliefs(make_outcomes), outcomes_of_beliefs(make_outcomes, gap=0.2)
    routed = route_all(robust, policy, list(right.prompt))
    assert list(calibration_findings(right, routed, "b")) == []
    (finding,) = calibration_findings(wrong, routed, "b")
    assert finding.place.key == "chat, a" or finding.place.key == "chat, small"
    assert "too useful" in finding.what


def test_a_losing_slice_is_found_among_many(make_outcomes: Callable[..., Any]) -> None:
    rng = np.random.default_rng(1)
    intent = np.array([f"i{code}" for code in rng.integers(0, 10, 2000)], dtype=object)
    outcomes = make_outcomes(np.ones((2000, 1)), intent=intent)
    before = (rng.random(2000) < 0.8).astype(float)
    same = np.where(rng.random(2000) < 0.1, (rng.random(2000) < 0.8).astype(float), before)
    assert list(slice_findings(slices_of(outcomes), same, before, "b")) == []
    after = np.where((intent == "i3") & (rng.random(2000) < 0.2), 0.0, same)
    found = list(slice_findings(slices_of(outcomes), after, before, "b"))
    assert [one.place.key for one in found] == ["intent i3"]


def test_a_group_that_pays_for_the_savings_is_found() -> None:
    rng = np.random.default_rng(2)
    group = np.array(["north", "south"], dtype=object)[rng.integers(0, 2, 2000)]
    intent = np.array(["chat"] * 2000, dtype=object)
    before = (rng.random(2000) < 0.8).astype(float)
    cheap = rng.random(2000) < 0.5
    assert list(fairness_findings(group, intent, before, before, cheap, "b", "region")) == []
    after = np.where((group == "south") & (rng.random(2000) < 0.15), 0.0, before)
    (finding,) = fairness_findings(group, intent, after, before, cheap, "b", "region")
    assert finding.place.key == "region south"


def test_the_catalogue_has_every_check_once_with_everything_said() -> None:
    assert len({check.code for check in CHECKS}) == len(CHECKS)
    for check in CHECKS:
        assert all(vars(check).values()), check.code
        assert f"`{check.code}`" in as_markdown()
