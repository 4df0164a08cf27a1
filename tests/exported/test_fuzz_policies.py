"""Any policy.json is refused in one line, or decides among its candidates; any prompt gets a decision."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointsman.decide import Facts, Reading, believe, decide
from pointsman.errors import BundleError
from pointsman.manifest import MANIFEST, POLICY, sign
from pointsman.policy import Policy
from pointsman.router import Router

if TYPE_CHECKING:
    from pathlib import Path

ODD_NUMBERS = st.sampled_from(
    [0, -0.0, -1, 1, 0.5, 1.5, 2, 1e-320, 1e-30, 1e15, 1e38, 1e39, 1e300, -1e300, 2**53, 2**64, 10**400, True]
)
NAMES = st.sampled_from(
    ["small", "medium", "large", "chat", "code", "text", "image", "value", "ladder", "", "é", "x" * 99]
)
VALUES = st.recursive(
    st.none() | ODD_NUMBERS | st.floats(allow_nan=False, allow_infinity=False) | NAMES | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
RULES: list[dict[str, Any]] = [
    {"kind": "value", "trust": 0.7, "useful_value_usd": 0.05, "late_cost_usd": 0.01},
    {"kind": "ladder", "trust": 1.0, "min_p_useful": {"small": 0.9, "medium": 0.6, "large": 1.5}, "max_p_late": 0.4},
]
MORE: list[dict[str, Any]] = [
    {"groups": {"work": ["code", "synthesis"]}, "factor": {"work": 2.0}},
    {"groups": {"work": ["code", "synthesis"]}, "shift": {"work": -0.1}},
]
ABSTAIN = {"below_confidence": 0.5, "model": "large"}
LENGTHS: dict[str, Any] = {
    "tokens_in": [100, 200, 300],
    "output_tokens": [[10, 20, 30], [40, 50, 60], [70, 80, 90]],
    "usd_per_token_in": [0, 1e-6, 1e-5],
    "usd_per_token_out": [0, 1e-5, 1e-4],
    "late_bias": [0, 0.1, -0.1],
    "late_per_log_in": [0, 0.5, 1],
    "late_per_log_out": [0, 0.5, 0],
}


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of everything in a JSON value."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


def like(value: Any) -> st.SearchStrategy[Any]:
    """Return values of the same kind, odd ones among them: more of these pass the door."""
    if isinstance(value, bool | int | float):
        return ODD_NUMBERS | st.floats(0, 1)
    if isinstance(value, str):
        return NAMES
    if isinstance(value, list):
        return st.permutations(value) | st.just(value[1:]) | st.just([*value, *value[:1]])
    return st.sampled_from([{}, value])


@st.composite
def altered(draw: st.DrawFn, document: dict[str, Any]) -> dict[str, Any]:
    """Draw a policy with one to three values replaced, removed or added anywhere."""
    document = copy.deepcopy(document)
    at = draw(st.integers(0, 1))
    document["rule"] = {**RULES[at], **draw(st.sampled_from([{}, MORE[at]])), "abstain": copy.deepcopy(ABSTAIN)}
    document["rule"] = copy.deepcopy(document["rule"])
    document["expected"]["lengths"] = draw(st.sampled_from([None, copy.deepcopy(LENGTHS)]))
    for _ in range(draw(st.integers(1, 3))):
        *way, key = draw(st.sampled_from(places(document)[1:]))
        node: Any = document
        for step in way:
            node = node[step]
        kind = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add", "swap"]))
        if kind == "replace":
            node[key] = draw(like(node[key]) if draw(st.booleans()) else VALUES)
        elif kind == "remove":
            del node[key]
        elif kind == "add" and isinstance(node, dict):
            node[draw(NAMES)] = draw(VALUES)
        elif kind == "add":
            node.append(draw(VALUES))
        else:
            node[key] = copy.deepcopy(document[draw(st.sampled_from(sorted(document)))])
        if not places(document)[1:]:
            break
    return document


def requests(policy: Policy) -> tuple[Reading, Facts]:
    """Return requests of every kind, for any number of intents and candidates."""
    generator = np.random.default_rng(0)
    k, m = len(policy.intents), len(policy.candidates)
    intents = np.concatenate([np.eye(k), generator.dirichlet(np.ones(k), 9)]).astype(np.float32)
    useful = generator.random((len(intents), m)).astype(np.float32)
    useful[0], useful[-1] = 0, 1
    tokens = np.expm1(generator.uniform(0, 20, (len(intents), m))).astype(np.float32)
    modality = np.array(["text", "image", "audio"])[np.arange(len(intents)) % 3]
    return Reading(intents, useful, tokens), Facts(modality, np.arange(len(intents)) ** 12 % 2**53)


def check(policy: Policy) -> None:
    reading, facts = requests(policy)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an overflow decides nothing that anybody has meant
        beliefs = believe(reading, facts, policy)
        chosen = decide(beliefs, policy.rule)
    assert beliefs.eligible[chosen, np.arange(len(chosen))].all()
    assert all(np.isfinite(part).all() for part in (beliefs.cost_usd, beliefs.late, beliefs.intent_useful))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_an_altered_policy_is_refused_or_decides_among_its_candidates(tiny_policy: Policy, data: st.DataObject) -> None:
    document = data.draw(altered(tiny_policy.to_dict()))
    try:
        policy = Policy.from_json(json.dumps(document))
    except BundleError:
        return
    check(policy)
    assert Policy.from_json(policy.to_json()).to_dict() == policy.to_dict()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("rule", "useful_value_usd"), 1e300),
        (("rule", "useful_value_usd"), 10**400),
        (("rule", "late_cost_usd"), 1e39),
        (("expected", "cost_usd", 0, 0), 1e300),
        (("expected", "lengths"), {**LENGTHS, "usd_per_token_in": [1e35, 0, 0]}),
        (("expected", "lengths"), {**LENGTHS, "late_bias": [-1e300, 0, 0]}),
    ],
)
def test_what_float32_cannot_hold_is_refused(tiny_policy: Policy, key: tuple[Any, ...], value: Any) -> None:
    document = tiny_policy.to_dict()
    *way, last = key
    node: Any = document
    for step in way:
        node = node[step]
    node[last] = value
    with pytest.raises(BundleError, match=r"policy: (rule|expected)\."):
        Policy.from_dict(document)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Draw a JSON text that is cut, doubled or has bytes of its own."""
    text: str = draw(st.sampled_from(['{"policy_version": 1', "[" * 10_000, "{" * 3, '{"a":' * 5_000, "1" * 5_000, ""]))
    return text + draw(st.text(max_size=20))


@given(text=texts())
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(BundleError):
        Policy.from_json(text)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_bundle_with_an_altered_policy_routes_or_is_refused(
    tiny_bundle: Path, tiny_policy: Policy, tmp_path: Path, data: st.DataObject
) -> None:
    """As somebody would do it who knows how a manifest is made: all hashes fit."""
    folder = tmp_path / "b"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(tiny_bundle, folder)
    policy = json.dumps(data.draw(altered(tiny_policy.to_dict()))).encode()
    (folder / POLICY).write_bytes(policy)
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["sha256"]
    manifest["files"][POLICY] = {"bytes": len(policy), "sha256": hashlib.sha256(policy).hexdigest()}
    (folder / MANIFEST).write_bytes(sign(manifest))
    try:
        router = Router.load(folder)
    except BundleError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    decisions = router.route_batch(
        ["hello", "", "x" * 5_000], modality=["text", "image", "audio"], context_tokens=2**53
    )
    for decision in decisions:
        assert decision.model in router.policy.models
        assert {step.model for step in decision.fallback_steps} <= set(router.policy.models)
        json.dumps(decision.to_dict(), allow_nan=False)


@pytest.fixture(scope="module")
def router(tiny_bundle: Path) -> Router:
    return Router.load(tiny_bundle)


PIECES = (
    st.binary(max_size=40) | st.text(max_size=40) | st.text(st.characters(categories=["Cs", "Cc", "Co"]), max_size=9)
)


@settings(max_examples=200, deadline=None)
@given(piece=PIECES, times=st.sampled_from([1, 1, 1, 2, 1_000, 100_000]), data=st.data())
def test_any_prompt_gets_a_decision(router: Router, piece: bytes | str, times: int, data: st.DataObject) -> None:
    prompt = (piece * times)[: 2**20]
    modality = data.draw(st.sampled_from(["text", "image", "audio"]))
    decision = router.route(prompt, modality=modality, context_tokens=data.draw(st.integers(0, 2**53)))
    assert decision.model in router.policy.models
    assert decision == router.route(prompt, modality=modality, context_tokens=decision.context_tokens)


@pytest.mark.parametrize(
    "prompt",
    [
        None,
        b"",
        bytes(range(256)) * 4096,
        "\0" * 2**20,
        "\ud800" * 2**20,
        "🚉" * 2**18,
        "a\u0301" * 2**19,
        " " * 2**20,
        "[SEP]" * 200_000,
        "\u202e" * 2**20,
        "ﷺ" * 2**18,
    ],
    ids=lambda prompt: repr(prompt)[:12].encode("ascii", "backslashreplace").decode(),
)
def test_a_megabyte_of_anything_gets_a_decision(router: Router, prompt: str | bytes | None) -> None:
    assert router.route(prompt).model in router.policy.models
