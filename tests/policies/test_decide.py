"""What holds of every decision: hard rules first, then beliefs, the same for one request and for many."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pointsman.decide import Beliefs, Facts, Reading, believe, blend, can_take, decide, doubtful, fallback_allowed
from pointsman.policy import Candidate, Expected, Fallback, Policy
from pointsman.rules import Abstain, LadderRule, ValueRule

INTENTS = ("chat", "code", "synthesis")
MODELS = ("small", "medium", "large")
MODALITIES = ("text", "image", "audio")


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Draw policies with every kind of hard rule."""
    windows = st.none() | st.integers(1, 200)
    kinds = st.sets(st.sampled_from(MODALITIES), min_size=1).map(lambda found: tuple(sorted(found)))
    candidates = tuple(Candidate(name, modalities=draw(kinds), context_window=draw(windows)) for name in MODELS)
    models = st.sampled_from(MODELS)
    words = st.lists(st.sampled_from((*INTENTS, *MODALITIES, "long_context", "timeout", "error")), max_size=3)
    fallbacks = st.builds(Fallback, models, words.map(tuple))
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    trust = draw(st.sampled_from([0.0, 0.5, 1.0]))
    rule: Any = ValueRule(trust, draw(st.sampled_from([0.0, 0.01, 1.0])), draw(st.sampled_from([0.0, 0.01])))
    if draw(st.booleans()):
        thresholds = dict.fromkeys(MODELS, draw(st.sampled_from([0.0, 0.5, 0.9, 1.5])))
        rule = LadderRule(trust, thresholds, draw(st.sampled_from([0.2, 1.0])))
    if draw(st.booleans()):
        change = {"shift": {"work": 0.3}} if isinstance(rule, LadderRule) else {"factor": {"work": 4.0}}
        rule = replace(rule, groups={"work": ("code", "synthesis")}, **change)
    if draw(st.booleans()):
        rule = replace(rule, abstain=Abstain(draw(st.sampled_from([0.0, 0.6, 1.0])), draw(models)))
    return Policy(
        intents=INTENTS,
        candidates=candidates,
        rule=rule,
        expected=Expected(generator.random((3, 3)), generator.random((3, 3)) / 100, generator.random((3, 3))),
        safe_model=draw(models),
        pinned_intents=draw(st.dictionaries(st.sampled_from(INTENTS), models, max_size=2)),
        pinned_modalities=draw(st.dictionaries(st.sampled_from(MODALITIES), models, max_size=2)),
        fallbacks=tuple(draw(st.lists(fallbacks, max_size=3))),
        long_context_tokens=draw(st.integers(0, 150)),
        long_context=draw(st.none() | models),
    )


@st.composite
def requests(draw: st.DrawFn) -> tuple[Reading, Facts]:
    """Draw what the classifier says and what the gateway knows of some requests."""
    n = draw(st.integers(1, 8))
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    modalities = draw(st.lists(st.sampled_from(MODALITIES), min_size=n, max_size=n))
    tokens = draw(st.lists(st.integers(0, 250), min_size=n, max_size=n))
    intent = generator.dirichlet([0.5] * 3, n).astype(np.float32)
    useful = generator.random((n, 3)).astype(np.float32)
    return Reading(intent, useful), Facts.of(draw(st.integers(0, 100)), modalities, tokens)


def capable(policy: Policy, facts: Facts, model: str, request: int) -> bool:
    """Say it once more, plainly: the candidate reads that modality and its window holds the tokens."""
    candidate = policy.candidates[MODELS.index(model)]
    window = candidate.context_window
    return facts.modality[request] in candidate.modalities and (window is None or facts.tokens[request] <= window)


@given(policies(), requests())
def test_the_chosen_model_can_take_the_request_or_is_the_safe_one(policy: Policy, asked: tuple[Reading, Facts]) -> None:
    facts = asked[1]
    chosen = decide(believe(*asked, policy), policy.rule)
    for request, index in enumerate(chosen):
        able = [name for name in MODELS if capable(policy, facts, name, request)]
        assert MODELS[index] in (able or [policy.safe_model])


@given(policies(), requests())
def test_pins_are_kept_where_the_pinned_model_can_take_the_request(
    policy: Policy, asked: tuple[Reading, Facts]
) -> None:
    facts = asked[1]
    beliefs = believe(*asked, policy)
    chosen = decide(beliefs, policy.rule)
    for request, index in enumerate(chosen):
        by_intent = policy.pinned_intents.get(INTENTS[beliefs.intent[request]])
        by_modality = policy.pinned_modalities.get(str(facts.modality[request]))
        by_length = policy.long_context if facts.tokens[request] > policy.long_context_tokens else None
        fixed = (by_intent, by_modality, by_length)
        pins = [pin for pin in fixed if pin and capable(policy, facts, pin, request)]
        if pins:
            assert MODELS[index] == pins[0], "the intent's pin wins over the modality's, that over the long request's"


@given(policies(), requests())
def test_doubtful_requests_go_where_the_rule_abstains_to(policy: Policy, asked: tuple[Reading, Facts]) -> None:
    beliefs = believe(*asked, policy)
    rule: Any = policy.rule
    chosen, without = decide(beliefs, rule), decide(beliefs, replace(rule, abstain=None))
    for request, probs in enumerate(np.asarray(asked[0].intent_probs, dtype=np.float32)):
        unsure = rule.abstain is not None and probs.max() < np.float32(rule.abstain.below_confidence)
        if unsure and beliefs.eligible[MODELS.index(rule.abstain.model), request]:
            assert MODELS[chosen[request]] == rule.abstain.model
        else:
            assert chosen[request] == without[request]


def test_as_sure_as_asked_is_sure_enough(tiny_policy: Policy) -> None:
    probs = np.array([[0.5, 0.5, 0.0], [0.5, 0.25, 0.25], [0.49, 0.26, 0.25], [1.0, 0.0, 0.0]])
    beliefs = believe(Reading(probs, np.full((4, 3), 0.5)), Facts.of([1] * 4, "text", 0), tiny_policy)
    for below, expected in ((0.5, [False, False, True, False]), (1.0, [True, True, True, False]), (0.0, [False] * 4)):
        rule: Any = replace(tiny_policy.rule, abstain=Abstain(below, "large"))  # type: ignore[type-var]
        assert doubtful(beliefs, rule).tolist() == expected
    assert not doubtful(beliefs, tiny_policy.rule).any()


def test_what_is_out_of_scope_is_doubtful_however_sure_the_intent(tiny_policy: Policy) -> None:
    sure, scope = np.array([[1.0, 0.0, 0.0]] * 3), np.array([[0.2], [0.95], [0.96]])
    facts = Facts.of([1] * 3, "text", 0)
    beliefs = believe(Reading(sure, np.full((3, 3), 0.5), out_of_scope=scope), facts, tiny_policy)
    untold = believe(Reading(sure, np.full((3, 3), 0.5)), facts, tiny_policy)
    for above, expected in ((0.95, [False, False, True]), (0.1, [True] * 3), (None, [False] * 3)):
        rule: Any = replace(tiny_policy.rule, abstain=Abstain(0.0, "large", above))  # type: ignore[type-var]
        assert doubtful(beliefs, rule).tolist() == expected
        assert [MODELS[index] == "large" for index in decide(beliefs, rule)] == expected
        assert not doubtful(untold, rule).any()
    assert beliefs.take([2]).out_of_scope == np.float32(0.96)


def test_of_several_intents_the_surest_is_the_confidence(tiny_policy: Policy) -> None:
    labels = np.array([[0.9, 0.8, 0.0]])
    reading = Reading(labels / labels.sum(), np.full((1, 3), 0.5), intent_labels=labels)
    beliefs = believe(reading, Facts.of([1], "text", 0), tiny_policy)
    assert beliefs.confidence.tolist() == [np.float32(0.9)]
    assert beliefs.intent.tolist() == [0]
    table = tiny_policy.expected.useful
    np.testing.assert_allclose(beliefs.intent_useful[:, 0], (0.9 * table[0] + 0.8 * table[1]) / 1.7, rtol=1e-6)


@given(policies(), requests())
def test_each_request_is_decided_with_the_change_of_its_intents_group(
    policy: Policy, asked: tuple[Reading, Facts]
) -> None:
    beliefs = believe(*asked, policy)
    rule: Any = policy.rule
    assume(rule.groups)
    shared = replace(rule, groups={}, **({"shift": {}} if isinstance(rule, LadderRule) else {"factor": {}}))
    others = beliefs.intent == INTENTS.index("chat")
    np.testing.assert_array_equal(decide(beliefs, rule)[others], decide(beliefs, shared)[others])
    if isinstance(rule, ValueRule):
        moved = replace(shared, useful_value_usd=4 * rule.useful_value_usd)
    else:
        moved = replace(shared, min_p_useful={name: p if p > 1 else p + 0.3 for name, p in rule.min_p_useful.items()})
        assume(not np.isclose(blend(beliefs, rule)[..., None] - 0.3, list(rule.min_p_useful.values()), atol=1e-5).any())
    np.testing.assert_array_equal(decide(beliefs, rule)[~others], decide(beliefs, moved)[~others])


@pytest.mark.parametrize(
    ("modality", "tokens", "expected"),
    [
        ("text", 10, "small"),  # the specialist for chat
        ("image", 10, "large"),  # it sees no images: the modality's pin
        ("audio", 10, "small"),  # nobody hears: the safe model
        ("text", 9_000, "large"),  # too long for the specialist: the model for long requests
        ("text", 200_000, "medium"),  # too long for that one too: the rule, among who is left
    ],
)
def test_a_fixed_rule_whose_model_cannot_take_the_request_is_passed_over(
    tiny_policy: Policy, modality: str, tokens: int, expected: str
) -> None:
    policy = replace(
        tiny_policy,
        pinned_intents={"chat": "small"},
        pinned_modalities={"image": "large"},
        long_context_tokens=8_000,
        long_context="large",
    )
    chat = Reading(np.array([[0.9, 0.05, 0.05]]), np.array([[0.1, 0.2, 0.3]]))
    assert policy.models[decide(believe(chat, Facts.of([0], modality, tokens), policy), policy.rule)[0]] == expected


@given(policies(), requests(), st.integers(0, 10_000))
def test_without_trust_the_intent_alone_decides(policy: Policy, asked: tuple[Reading, Facts], seed: int) -> None:
    reading, facts = asked
    rule: Any = replace(policy.rule, trust=0.0)  # type: ignore[type-var]
    other = np.random.default_rng(seed).random(reading.useful_probs.shape)
    beliefs = [believe(one, facts, policy) for one in (reading, replace(reading, useful_probs=other))]
    np.testing.assert_array_equal(decide(beliefs[0], rule), decide(beliefs[1], rule))
    np.testing.assert_array_equal(blend(beliefs[0], rule), beliefs[0].intent_useful)


@given(policies(), requests())
def test_full_trust_is_the_querys_own_belief(policy: Policy, asked: tuple[Reading, Facts]) -> None:
    rule: Any = replace(policy.rule, trust=1.0)  # type: ignore[type-var]
    np.testing.assert_allclose(blend(believe(*asked, policy), rule), asked[0].useful_probs.T, atol=1e-6)


@given(policies(), requests())
def test_beliefs_are_the_intents_weighted_tables(policy: Policy, asked: tuple[Reading, Facts]) -> None:
    beliefs = believe(*asked, policy)
    tables = (beliefs.intent_useful, beliefs.cost_usd, beliefs.late)
    for got, table in zip(tables, policy.expected.tables.values(), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, (asked[0].intent_probs @ table).T, rtol=1e-5)


@given(policies(), requests())
def test_one_request_is_decided_as_among_many(policy: Policy, asked: tuple[Reading, Facts]) -> None:
    reading, facts = asked
    beliefs = believe(reading, facts, policy)
    allowed = fallback_allowed(beliefs, facts, policy)
    for at in range(len(facts.tokens)):
        alone_facts = Facts(facts.modality[at : at + 1], facts.tokens[at : at + 1])
        alone = believe(reading.take(slice(at, at + 1)), alone_facts, policy)
        np.testing.assert_allclose(alone.cost_usd[:, 0], beliefs.cost_usd[:, at], rtol=1e-5)
        np.testing.assert_array_equal(alone.eligible[:, 0], beliefs.eligible[:, at])
        np.testing.assert_array_equal(fallback_allowed(alone, alone_facts, policy)[:, 0], allowed[:, at])


@given(policies(), requests(), st.permutations(range(3)))
def test_value_does_not_depend_on_the_order_of_candidates(
    policy: Policy, asked: tuple[Reading, Facts], order: list[int]
) -> None:
    reading, facts = asked
    policy = replace(policy, rule=ValueRule(0.5, 0.01))
    tables: dict[str, Any] = {name: table[:, order] for name, table in policy.expected.tables.items()}
    shuffled = replace(policy, candidates=tuple(policy.candidates[at] for at in order), expected=Expected(**tables))
    before = decide(believe(reading, facts, policy), policy.rule)
    after = decide(believe(replace(reading, useful_probs=reading.useful_probs[:, order]), facts, shuffled), policy.rule)
    assert [shuffled.models[at] for at in after] == [policy.models[at] for at in before]


@given(policies(), requests())
def test_fallbacks_hold_to_their_conditions(policy: Policy, asked: tuple[Reading, Facts]) -> None:
    facts = asked[1]
    beliefs = believe(*asked, policy)
    allowed = fallback_allowed(beliefs, facts, policy)
    assert allowed.shape == (len(policy.fallbacks), len(facts.tokens))
    for row, fallback in enumerate(policy.fallbacks):
        for at in range(len(facts.tokens)):
            kinds = {INTENTS[beliefs.intent[at]], str(facts.modality[at])}
            if facts.tokens[at] > policy.long_context_tokens:
                kinds.add("long_context")
            words = set(fallback.when) - {"timeout", "error"}
            fits = not words or bool(words & kinds)
            assert allowed[row, at] == (fits and capable(policy, facts, fallback.model, at))


@given(policies(), requests())
def test_can_take(policy: Policy, asked: tuple[Reading, Facts]) -> None:
    facts = asked[1]
    table = can_take(facts, policy)
    for row, name in enumerate(MODELS):
        for at in range(len(facts.tokens)):
            assert table[row, at] == capable(policy, facts, name, at)


@pytest.mark.parametrize(
    ("chars", "context", "tokens"), [(0, 0, 0), (1, 0, 1), (4, 0, 1), (5, 0, 2), (400, 7, 107), (0, 2**53, 2**53)]
)
def test_tokens_are_estimated_from_code_points(chars: int, context: int, tokens: int) -> None:
    assert Facts.of(chars, "text", context).tokens.tolist() == [tokens]


def test_facts_take_scalars_and_sequences() -> None:
    facts = Facts.of(4, ["text", "image"], 0)
    assert facts.modality.tolist() == ["text", "image"]
    assert facts.tokens.tolist() == [1, 1]
    facts = Facts.of([4, 8, 9], "audio", 10)
    assert facts.modality.tolist() == ["audio"] * 3
    assert facts.tokens.tolist() == [11, 12, 13]
    assert Facts.of([], "text", 0).tokens.tolist() == []


def test_context_window_counts_prompt_and_context(tiny_policy: Policy) -> None:
    """8,000 tokens fit the small model exactly; one more does not."""
    probs = np.full((2, 3), 1 / 3, dtype=np.float32)
    beliefs = believe(Reading(probs, probs), Facts.of([4_000, 4_001], "text", 7_000), tiny_policy)
    assert beliefs.eligible[0].tolist() == [True, False]


def test_beliefs_of_nobody(tiny_policy: Policy) -> None:
    none = np.empty((0, 3), dtype=np.float32)
    beliefs = believe(Reading(none, none), Facts.of([], "text", []), tiny_policy)
    assert isinstance(beliefs, Beliefs)
    assert decide(beliefs, tiny_policy.rule).shape == (0,)
