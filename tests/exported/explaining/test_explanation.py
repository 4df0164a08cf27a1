"""An explanation tells what the bundle does: same decision, same beliefs, and words whose removal has that effect."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pointsman.cli import main
from pointsman.errors import PointsmanError
from pointsman.explaining.explanation import explain
from pointsman.explaining.words import MOST_PARTS
from pointsman.guards.ledger import Ledger
from pointsman.live import LiveBundle
from pointsman.router import Router

if TYPE_CHECKING:
    from pathlib import Path

PROMPT = "fix this code: what is the sum"


@pytest.fixture(scope="module")
def live(tiny_bundle: Path) -> LiveBundle:
    return LiveBundle.load(tiny_bundle, Ledger())


def test_it_is_the_routers_own_decision(live: LiveBundle, tiny_bundle: Path) -> None:
    found, routed = explain(live, PROMPT), Router.load(tiny_bundle).route(PROMPT)
    assert found.decision == routed
    chosen = next(one for one in found.candidates if one.model == routed.model)
    assert chosen.p_useful == pytest.approx(routed.p_useful)
    assert chosen.cost_usd == pytest.approx(routed.expected_cost_usd)
    assert found.intents[0][0] == routed.intent
    assert found.intents[0][1] == pytest.approx(routed.confidence)
    assert found.next_in_line != routed.model
    assert [one.cost_usd / one.p_useful for one in found.candidates] == pytest.approx(
        [one.usd_per_useful for one in found.candidates]
    )


def test_words_have_the_effect_that_is_told(live: LiveBundle) -> None:
    found = explain(live, PROMPT)
    assert sorted(word.text for word in found.words) == sorted(PROMPT.split())
    assert found.next_in_line is not None
    names = [one.model for one in found.candidates]
    pair = names.index(found.decision.model), names.index(found.next_in_line)

    def advantage(prompt: str) -> float:
        views = explain(live, prompt).candidates
        return views[pair[0]].p_useful - views[pair[1]].p_useful

    for word in found.words:
        without = f"{PROMPT[: word.start]} {PROMPT[word.stop :]}"
        assert word.advantage == pytest.approx(advantage(PROMPT) - advantage(without), abs=1e-5)
        assert word.model_without == explain(live, without).decision.model
    sizes = [abs(word.advantage) for word in found.words]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 0


def test_long_and_empty_prompts(live: LiveBundle) -> None:
    long = explain(live, "write code " * 5_000)
    assert 1 < len(long.words) <= MOST_PARTS
    for prompt in ("", None, b"\xff\xfe", "  \n "):
        assert explain(live, prompt).decision.model


def test_why_a_candidate_is_out(live: LiveBundle) -> None:
    why = {one.model: one.why_not for one in explain(live, PROMPT, modality="image").candidates}
    assert why == {"small": "takes no image", "medium": "", "large": ""}
    grown = {one.model: one.why_not for one in explain(live, PROMPT, context_tokens=9_000).candidates}
    assert grown["small"] == "reads at most 8,000 tokens; the request has 9,008"
    with pytest.raises(PointsmanError, match="modality is 'smell'"):
        explain(live, PROMPT, modality="smell")


def test_the_command_prints_tables_or_json(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--bundle", str(tiny_bundle), PROMPT, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert main(["explain", "--bundle", str(tiny_bundle), PROMPT]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{told['decision']['model']}: {told['decision']['reason']}")
    for entry in told["elsewhere"]:
        assert entry["change"] in shown
    assert main(["explain", "--bundle", str(tiny_bundle / "no"), PROMPT]) == 2
