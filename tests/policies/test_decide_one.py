"""One by one is decided what `decide` decides, to the last bit: any policy, any request."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pointsman.decide import Facts, Reading, believe, blend, decide
from pointsman.decide_one import OneByOne
from pointsman.expected import Lengths
from pointsman.policy import Candidate, Expected, Policy
from pointsman.rules import Abstain, LadderRule, Rule, ValueRule

MODALITIES = ("text", "image", "audio")
INTENTS = ("chat", "code", "synthesis")
SHARES = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]) | st.floats(0, 1)  # equal ones among them
TOKENS = st.sampled_from([0, 1, 99, 100, 101, 5000, 2**53]) | st.integers(0, 2**40)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    m = draw(st.integers(1, 4))
    models = tuple("abcd"[:m])
    k = len(INTENTS)

    def table(values: st.SearchStrategy[float], *shape: int) -> Any:
        flat = draw(st.lists(values, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
        return np.array(flat, dtype=np.float64).reshape(shape)

    factors = st.sampled_from([0.0, 0.0, 0.5, 2.0])
    prices = st.sampled_from([0.0, 1e-6, 1e-5])
    lengths = None
    if draw(st.booleans()):
        lengths = Lengths(
            table(st.floats(0, 500), k),
            table(st.floats(0, 500), k, m),
            table(prices, m),
            table(prices, m),
            table(st.floats(-1, 1), m),
            table(factors, m),
            table(factors, m),
        )
    rule: Rule
    of: dict[str, Any] = {"trust": draw(SHARES)}
    if draw(st.booleans()):
        of["groups"] = {"g": ("code",), "h": ("chat",)}
    if draw(st.booleans()):
        of["abstain"] = Abstain(draw(SHARES), draw(st.sampled_from(models)), draw(st.none() | SHARES))
    if draw(st.booleans()):
        of |= {"factor": {"g": draw(st.floats(0.1, 9)), "h": 1.0}} if "groups" in of else {}
        rule = ValueRule(useful_value_usd=draw(SHARES), late_cost_usd=draw(SHARES), **of)
    else:
        of |= {"shift": {"g": draw(st.floats(-1, 1)), "h": 0.0}} if "groups" in of else {}
        limits = {name: draw(SHARES | st.just(1.5)) for name in models}
        rule = LadderRule(min_p_useful=limits, max_p_late=draw(SHARES), **of)
    windows = st.sampled_from([None, 100, 5000])
    some = st.sets(st.sampled_from(MODALITIES)).map(lambda found: tuple(sorted(found)))
    candidates = tuple(Candidate(name, modalities=draw(some), context_window=draw(windows)) for name in models)
    to = st.sampled_from(models)
    return Policy(
        intents=INTENTS,
        candidates=candidates,
        rule=rule,
        expected=Expected(table(SHARES, k, m), table(SHARES, k, m), table(SHARES, k, m), lengths),
        safe_model=draw(to),
        pinned_intents=draw(st.dictionaries(st.sampled_from(INTENTS), to, max_size=2)),
        pinned_modalities=draw(st.dictionaries(st.sampled_from(MODALITIES), to, max_size=2)),
        long_context_tokens=draw(st.sampled_from([0, 100, 5000])),
        long_context=draw(st.none() | to),
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[Policy, Reading, str, int]:
    policy = draw(policies())
    m = len(policy.models)
    weights = np.array(draw(st.lists(st.sampled_from([1.0, 1.0, 2.0, 7.0]), min_size=3, max_size=3)))
    useful = np.array([draw(st.lists(SHARES, min_size=m, max_size=m))], dtype=np.float32)
    answers = None
    if draw(st.booleans()):
        answers = np.array([draw(st.lists(st.floats(0, 1e5), min_size=m, max_size=m))], dtype=np.float32)
    probs = (weights / weights.sum()).astype(np.float32)[None]
    scope = np.array([[draw(SHARES)]], dtype=np.float32) if draw(st.booleans()) else None
    labels = np.minimum(probs * 1.5, 1) if draw(st.booleans()) else None
    reading = Reading(probs, useful, answers, out_of_scope=scope, intent_labels=labels)
    return policy, reading, draw(st.sampled_from(MODALITIES)), draw(TOKENS)


@given(cases())
def test_one_by_one_is_decided_what_decide_decides(case: tuple[Policy, Reading, str, int]) -> None:
    policy, reading, modality, tokens = case
    beliefs = believe(reading, Facts(np.array([modality]), np.array([tokens])), policy)
    one = OneByOne(policy).decide(reading, modality, tokens)
    assert one.column == decide(beliefs, policy.rule)[0]
    assert one.intent == beliefs.intent[0]
    assert list(one.eligible) == np.flatnonzero(beliefs.eligible[:, 0]).tolist()
    assert one.confidence == beliefs.confidence[0]
    for got, want in ((one.useful, blend(beliefs, policy.rule)), (one.cost_usd, beliefs.cost_usd)):
        np.testing.assert_array_equal(got, want, strict=True)
    np.testing.assert_array_equal(one.late, beliefs.late, strict=True)
