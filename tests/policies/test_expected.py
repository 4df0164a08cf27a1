"""Expected cost and lateness are what the policy's schema says, in numbers that any gateway can repeat."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pytest

import pointsman.policy
from pointsman.errors import BundleError
from pointsman.expected import Expected, Lengths
from pointsman.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable

K, M, N = 2, 3, 40
SCHEMA = json.loads(Path(pointsman.policy.__file__).with_name("policy.schema.json").read_text(encoding="utf-8"))

LENGTHS = Lengths(
    tokens_in=np.array([40.0, 900.0]),
    output_tokens=np.array([[50.0, 60.0, 80.0], [300.0, 400.0, 500.0]]),
    usd_per_token_in=np.array([1e-6, 0.0, 5e-6]),
    usd_per_token_out=np.array([2e-6, 0.0, 2e-5]),
    late_bias=np.array([-0.2, 0.0, 0.1]),
    late_per_log_in=np.array([0.0, 0.0, 0.5]),
    late_per_log_out=np.array([0.8, 0.0, 1.5]),
)
EXPECTED = Expected(
    useful=np.full((K, M), 0.5),
    cost_usd=np.array([[1e-4, 2e-4, 1e-3], [8e-4, 1e-3, 1e-2]]),
    late=np.array([[0.0, 0.01, 0.02], [0.05, 0.1, 0.3]]),
    lengths=LENGTHS,
)


def requests(seed: int = 0) -> tuple[Any, Any, Any]:
    """Draw intents, tokens to read and expected answers of N requests."""
    generator = np.random.default_rng(seed)
    probs = generator.dirichlet([0.5] * K, N).astype(np.float32)
    return probs, generator.integers(0, 3000, N), generator.uniform(0, 2000, (N, M)).astype(np.float32)


def plainly(probs: Any, tokens: Any, answers: Any, request: int, model: int) -> tuple[float, float]:
    """Say it once more, as the schema does."""
    weigh = [float(share) for share in probs[request]]

    def mean(column: Any) -> float:
        return sum(share * float(value) for share, value in zip(weigh, column, strict=True))

    read, usual = float(tokens[request]), mean(LENGTHS.tokens_in)
    typical = mean(LENGTHS.output_tokens[:, model])
    answer = typical if answers is None else float(answers[request, model])
    cost = mean(EXPECTED.cost_usd[:, model]) + LENGTHS.usd_per_token_in[model] * (read - usual)
    cost += LENGTHS.usd_per_token_out[model] * (answer - typical)
    late = mean(EXPECTED.late[:, model])
    if LENGTHS.late_per_log_in[model] or LENGTHS.late_per_log_out[model]:
        share = min(max(late, 0.001), 0.999)
        odds = math.log(share / (1 - share)) + LENGTHS.late_bias[model]
        odds += LENGTHS.late_per_log_in[model] * math.log((1 + read) / (1 + usual))
        odds += LENGTHS.late_per_log_out[model] * math.log((1 + answer) / (1 + typical))
        late = 1 / (1 + math.exp(-odds))
    return max(0.0, cost), late


@pytest.mark.parametrize("known", [True, False])
def test_cost_and_lateness_are_those_of_the_formula(known: bool) -> None:
    probs, tokens, answers = requests()
    answers = answers if known else None
    cost, late = EXPECTED.cost_and_late(probs, tokens, answers)
    assert cost.dtype == late.dtype == np.float32
    wanted = [[plainly(probs, tokens, answers, request, model) for request in range(N)] for model in range(M)]
    np.testing.assert_allclose(cost, [[one[0] for one in row] for row in wanted], rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(late, [[one[1] for one in row] for row in wanted], rtol=1e-4)
    assert (cost == 0).any(), "a short request may cost nothing, and nothing less"


@pytest.mark.parametrize("n", [1, N])
def test_what_was_read_is_not_changed(n: int) -> None:
    asked = [values[:n] for values in requests()]
    kept = [values.copy() for values in asked]
    EXPECTED.cost_and_late(*asked)
    for values, before in zip(asked, kept, strict=True):
        np.testing.assert_array_equal(values, before)


def test_one_request_is_judged_as_among_many() -> None:
    probs, tokens, answers = requests()
    many = EXPECTED.cost_and_late(probs, tokens, answers)
    for at in range(N):
        alone = EXPECTED.cost_and_late(probs[at : at + 1], tokens[at : at + 1], answers[at : at + 1])
        for got, want in zip(alone, many, strict=True):
            np.testing.assert_allclose(got[:, 0], want[:, at], rtol=1e-5, atol=1e-9)


def test_without_lengths_the_intent_decides() -> None:
    probs, tokens, answers = requests()
    cost, late = replace(EXPECTED, lengths=None).cost_and_late(probs, tokens, answers)
    np.testing.assert_allclose(cost, (probs @ EXPECTED.cost_usd).T, rtol=1e-5)
    np.testing.assert_allclose(late, (probs @ EXPECTED.late).T, rtol=1e-5)


def test_a_candidate_without_factors_keeps_its_average() -> None:
    asked = requests()
    moved, plain = EXPECTED.cost_and_late(*asked), replace(EXPECTED, lengths=None).cost_and_late(*asked)
    for got, want in zip(moved, plain, strict=True):
        np.testing.assert_array_equal(got[1], want[1])
        assert (got[0] != want[0]).any()


def test_longer_costs_more_and_is_late_more_often() -> None:
    probs = np.tile(np.array([0.3, 0.7], dtype=np.float32), (3, 1))
    lengths = np.array([10, 1000, 100_000])
    for cost, late in (
        EXPECTED.cost_and_late(probs, lengths, None),
        EXPECTED.cost_and_late(probs, np.full(3, 100), np.repeat(lengths[:, None], M, axis=1)),
    ):
        assert (np.diff(cost[2]) > 0).all()
        assert (np.diff(late[2]) > 0).all()


def test_no_length_is_too_long() -> None:
    with np.errstate(all="raise"):
        cost, late = EXPECTED.cost_and_late(np.eye(1, 2, dtype=np.float32), np.array([2**53]), np.full((1, M), 1e9))
    assert np.isfinite(cost).all()
    assert ((late >= 0) & (late <= 1)).all()


@pytest.mark.parametrize("lengths", [LENGTHS, None])
def test_json_and_back(lengths: Lengths | None, make_policy: Callable[..., Policy]) -> None:
    policy = replace(
        make_policy(("a", "b", "c"), ("chat", "code")),
        expected=replace(EXPECTED, useful=np.full((K, M), 0.5), lengths=lengths),
    )
    text = policy.to_json()
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(text))
    again = Policy.from_json(text)
    assert again.to_json() == text
    assert again.to_dict() == policy.to_dict() == json.loads(text)
    asked = requests()
    for got, want in zip(again.expected.cost_and_late(*asked), policy.expected.cost_and_late(*asked), strict=True):
        np.testing.assert_array_equal(got, want)


def test_a_policy_of_a_release_that_knew_no_lengths_loads(make_policy: Callable[..., Policy]) -> None:
    document = make_policy().to_dict()
    del document["expected"]["lengths"]
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert Policy.from_dict(document).expected.lengths is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"usd_per_token_in": [0.0]}, r"expected.lengths.usd_per_token_in is \(1,\); \(3,\) \(candidates,\) is needed"),
        ({"tokens_in": [1.0]}, r"expected.lengths.tokens_in is \(1,\); \(2,\) \(intents,\)"),
        ({"output_tokens": [[1.0, 1.0, 1.0]]}, r"expected.lengths.output_tokens is \(1, 3\); \(2, 3\)"),
        ({"usd_per_token_out": [0.0, -1.0, 0.0]}, "usd_per_token_out holds -1 to 0; allowed: 0 to 1e"),
        ({"late_per_log_in": [0.0, -1.0, 0.0]}, "late_per_log_in holds -1 to 0; allowed: 0 to 1e"),
        ({"late_bias": [0.0, float("inf"), 0.0]}, "late_bias holds a value that is not a finite number"),
        ({"late_bias": ["0", 0.0, 0.0]}, "late_bias holds '0'; numbers are needed"),
        ({"late_bias": 0.0}, r"late_bias\[\] is 0.0; a list is needed"),
        ({"mood": []}, "lengths has the unknown key 'mood'"),
    ],
)
def test_what_is_wrong_with_lengths_is_named(
    change: dict[str, Any], message: str, make_policy: Callable[..., Policy]
) -> None:
    document = replace(make_policy(("a", "b", "c"), ("chat", "code")), expected=EXPECTED).to_dict()
    document["expected"]["lengths"] |= change
    with pytest.raises(BundleError, match=message):
        Policy.from_dict(document)
