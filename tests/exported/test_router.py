"""The router decides as training did, for every kind of prompt, and loads nothing it does not need."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.bundle import load_bundle, write_bundle
from pointsman.classifier import read
from pointsman.conformance import PROMPTS
from pointsman.decide import Facts, believe, blend, decide
from pointsman.errors import BundleError, PointsmanError
from pointsman.incoming import checked_facts
from pointsman.policy import Expected
from pointsman.router import Decision, Router, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.encoders import TransformerEncoder
    from pointsman.graph import GraphInfo
    from pointsman.heads import Heads
    from pointsman.policy import Policy

TEXTS = [prompt for prompt, _, _ in PROMPTS]
MODALITIES = [modality for _, modality, _ in PROMPTS]
CONTEXTS = [tokens for _, _, tokens in PROMPTS]
SOURCES = [str(Path(__file__).parents[2] / wing) for wing in ("features", "training", "policies", "exported")]


@pytest.fixture(scope="module")
def router(tiny_bundle: Path) -> Router:
    return Router.load(tiny_bundle)


@pytest.fixture
def rebuild(tiny_bundle: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write the tiny bundle again with some parts changed."""

    def rebuild(**changes: Any) -> Path:
        bundle = load_bundle(tiny_bundle)
        parts: dict[str, Any] = {
            "graph": bundle.read("model.onnx"),
            "tokenizer_json": bundle.read("tokenizer.json").decode(),
            "policy": bundle.policy,
            "conformance": [],
            "model_card": "",
            "model_io": bundle.io,
            "provenance": {},
            "seen": [],
        }
        return write_bundle(tmp_path / "rebuilt", **(parts | changes))

    return rebuild


def test_decides_as_the_training_path(
    router: Router, tiny_encoder: TransformerEncoder, tiny_heads: Heads, tiny_policy: Policy
) -> None:
    facts = Facts.of([len(text) for text in TEXTS], MODALITIES, CONTEXTS)
    beliefs = believe(read(tiny_encoder, tiny_heads, TEXTS), facts, tiny_policy)
    chosen, useful = decide(beliefs, tiny_policy.rule), blend(beliefs, tiny_policy.rule)
    decisions = router.route_batch(TEXTS, modality=MODALITIES, context_tokens=CONTEXTS)
    assert [decision.tier for decision in decisions] == chosen.tolist()
    assert len(set(chosen.tolist())) == 3, "the prompts of this test must reach every model"
    believed = np.array([decision.p_useful for decision in decisions], dtype=np.float32)
    np.testing.assert_allclose(believed, useful[chosen, np.arange(len(chosen))], atol=1e-5)
    for decision, index in zip(decisions, beliefs.intent, strict=True):
        assert decision.intent == tiny_policy.intents[index]
        assert decision.model == tiny_policy.models[decision.tier]
        assert decision.timeout_ms == tiny_policy.candidates[decision.tier].timeout_ms
        assert decision.model not in decision.fallbacks


def test_one_and_many_are_the_same(router: Router) -> None:
    many = router.route_batch(TEXTS, modality=MODALITIES, context_tokens=CONTEXTS)
    for (text, modality, tokens), batched in zip(PROMPTS, many, strict=True):
        single = router.route(text, modality=modality, context_tokens=tokens)
        for name in ("model", "intent", "tier", "fallbacks", "timeout_ms", "reason"):
            assert getattr(single, name) == getattr(batched, name)
        assert single.confidence == pytest.approx(batched.confidence, abs=1e-5)
        assert single.p_useful == pytest.approx(batched.p_useful, abs=1e-5)


def test_what_is_read_keeps_the_order_and_tell_progress(router: Router) -> None:
    told: list[tuple[int, int]] = []
    texts = TEXTS * 5
    reading = router.read(texts, progress=lambda done, total: told.append((done, total)))
    intent, useful = reading.intent_probs, reading.useful_probs
    assert reading.output_tokens is not None
    assert reading.output_tokens.shape == (len(texts), 3)
    assert (intent.shape, useful.shape) == ((len(texts), 3), (len(texts), 3))
    assert intent.dtype == useful.dtype == np.float32
    for at in (0, 46, 48, len(texts) - 1):
        alone = router.read([texts[at]])
        np.testing.assert_allclose(intent[at], alone.intent_probs[0], atol=1e-5)
        np.testing.assert_allclose(useful[at], alone.useful_probs[0], atol=1e-5)
    assert told[-1] == (len(texts), len(texts))
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_a_graph_without_lengths_is_read_without(rebuild: Callable[..., Path], tiny_graph: Any) -> None:
    """As bundles were written before there was a third output."""
    router = Router.load(rebuild(model_io=tiny_graph[1].io() | {"outputs": ["intent_probs", "useful_probs"]}))
    reading = router.read(TEXTS[:3])
    assert reading.output_tokens is None
    assert reading.useful_probs.shape == (3, 3)


def test_no_prompts(router: Router) -> None:
    assert router.route_batch([]) == []
    reading = router.read([])
    assert reading.intent_probs.shape == reading.useful_probs.shape == (0, 3)


NASTY = [
    None,
    "",
    b"",
    b"\xff\xfe broken \x80",
    "lone \ud83d surrogate \udfff",
    "\0" * 2_000,
    "\x1b[2J\x07\u202e\u200b\ufeff",
    "x" * 1_000_000,
    b"\xf0\x9f" * 500_000,
    "深" * 1_000_000,
    "\ud800" * 100_000,
    "a\u0300" * 50_000,
]


@pytest.mark.parametrize("prompt", NASTY, ids=range(len(NASTY)))
def test_every_prompt_gets_a_decision(router: Router, prompt: str | bytes | None) -> None:
    decision = router.route(prompt)
    assert decision.model in router.policy.models
    assert decision.p_useful is not None
    assert 0 <= decision.p_useful <= 1
    json.dumps(decision.to_dict(), allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(
    prompt=st.text() | st.binary() | st.text(st.characters(categories=["Cs", "Cc", "Mn", "So"])),
    modality=st.sampled_from(["text", "image", "audio"]),
    tokens=st.integers(0, 2**53),
)
def test_every_request_gets_a_decision(tiny_bundle: Path, prompt: str | bytes, modality: str, tokens: int) -> None:
    decision = _shared(tiny_bundle).route(prompt, modality=modality, context_tokens=tokens)
    assert decision.model in decision.reason or "pinned" in decision.reason
    if modality == "audio":  # which no candidate takes
        assert decision.model == "small"
        assert "no candidate can take an audio request" in decision.reason


_routers: dict[Path, Router] = {}


def _shared(bundle: Path) -> Router:
    return _routers.setdefault(bundle, Router.load(bundle)) if bundle not in _routers else _routers[bundle]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"modality": "video"}, "modality is 'video'; allowed: text, image, audio"),
        ({"modality": ["text", "text"]}, "2 values of modality for 1 prompts"),
        ({"context_tokens": -1}, "context_tokens is -1; an integer of at least 0"),
        ({"context_tokens": 2**70}, "context_tokens is 1180591620717411303424"),
        ({"context_tokens": [1, 2]}, "2 values of context_tokens for 1 prompts"),
        ({"context_tokens": [0.5]}, "context_tokens is 0.5"),
        ({"context_tokens": None}, "context_tokens is None"),
        ({"modality": None}, "modality is None"),
    ],
)
def test_bad_arguments_are_named(router: Router, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PointsmanError, match=message):
        router.route_batch(["x"], **arguments)
    router.kill()
    try:
        with pytest.raises(PointsmanError, match=message):
            router.route_batch(["x"], **arguments)
    finally:
        router.restore()


def test_bad_prompts_are_named(router: Router) -> None:
    with pytest.raises(PointsmanError, match="a list of prompts is needed, got one text"):
        router.route_batch("hello")
    with pytest.raises(PointsmanError, match="a prompt is int"):
        router.route(5)  # type: ignore[arg-type]


def test_numpy_values_are_welcome(router: Router) -> None:
    expected = router.route("x", context_tokens=9_000)
    assert router.route("x", context_tokens=np.int64(9_000)) == expected  # type: ignore[arg-type]
    assert router.route_batch(["x"], modality=np.array(["text"]), context_tokens=np.array([9_000])) == [expected]  # type: ignore[arg-type]


def test_bytes_are_the_text_they_encode(router: Router) -> None:
    for text in TEXTS:
        assert router.route(text.encode()) == router.route(text)
    assert checked_facts(["深" * 9, "深" * 9], "text", 0).tokens.tolist() == [3, 3]
    assert checked_facts([("深" * 9).encode(), None], "text", 0).tokens.tolist() == [3, 0]


def test_decision_is_frozen_and_plain(router: Router) -> None:
    decision = router.route("hello")
    with pytest.raises(AttributeError):
        decision.model = "large"  # type: ignore[misc]
    assert not hasattr(decision, "__dict__")
    assert Decision(**{**decision.to_dict(), "fallbacks": decision.fallbacks}) == decision


def test_kill_and_restore(router: Router, caplog: pytest.LogCaptureFixture) -> None:
    before = router.route_batch(TEXTS)
    with caplog.at_level(logging.WARNING, logger="pointsman.router"):
        router.kill(who="ann", why="costs\nexplode")
    try:
        assert router.killed
        decisions = router.route_batch(TEXTS, modality=MODALITIES, context_tokens=10**9)
        assert {decision.model for decision in decisions} == {"small"}
        assert decisions[0].fallbacks == ()
        assert (decisions[0].intent, decisions[0].confidence, decisions[0].p_useful) == (None, None, None)
        for part in ("kill-switch", "ann", "costs", "small"):
            assert part in decisions[0].reason
        json.dumps(decisions[0].to_dict(), allow_nan=False)
    finally:
        router.restore(who="bob")
    assert router.route_batch(TEXTS) == before
    assert not router.killed
    assert [record.name for record in caplog.records] == ["pointsman.router"] * 2
    assert "who='ann' why='costs\\nexplode'" in caplog.text
    assert "who='bob'" in caplog.text


def test_the_kill_switch_asks_no_classifier(tiny_bundle: Path) -> None:
    router = Router(load_bundle(tiny_bundle), None)  # type: ignore[arg-type]
    router.kill()
    assert router.route("hello").model == "small"


def test_tally(tiny_bundle: Path) -> None:
    router = Router.load(tiny_bundle)
    assert router.tally == {}
    decision = replace(router.route("hello"), model="small")
    router.report(decision, latency_ms=100, cost_usd=0.01)
    router.report(decision, ok=False, latency_ms=300)
    router.report(replace(decision, model="large"), cost_usd=0.5)
    assert router.tally == {
        "small": Tally(2, 1, timed=2, latency_ms=400.0, slowest_ms=300.0, priced=1, cost_usd=0.01),
        "large": Tally(1, 0, priced=1, cost_usd=0.5),
    }
    for bad in (-1, float("nan"), float("inf")):
        with pytest.raises(PointsmanError, match="latency_ms is"):
            router.report(decision, latency_ms=bad)
        with pytest.raises(PointsmanError, match="cost_usd is"):
            router.report(decision, cost_usd=bad)
    assert router.tally["small"].requests == 2


def test_no_report_is_lost_between_threads(router: Router) -> None:
    decision = replace(router.route("hello"), model="busy")

    def report_often() -> None:
        for _ in range(500):
            router.report(decision)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=report_often) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert router.tally["busy"].requests == 4_000


def test_threads_share_a_router(tiny_bundle: Path) -> None:
    router = Router.load(tiny_bundle)
    expected = [router.route(text) for text in TEXTS]
    wrong: list[str] = []

    def work() -> None:
        for text, want in zip(TEXTS, expected, strict=True):
            got = router.route(text)
            router.report(got, latency_ms=1)
            if got != want:
                wrong.append(text)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert sum(tally.requests for tally in router.tally.values()) == 8 * len(TEXTS)


def test_an_altered_bundle_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bundle, tmp_path / "b")
    data = bytearray((copy / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (copy / "model.onnx").write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.onnx.*altered"):
        Router.load(copy)


def test_a_model_swapped_in_while_loading_is_noticed(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    copy = shutil.copytree(tiny_bundle, tmp_path / "b")
    real = onnxruntime.InferenceSession

    def swap(path: str, *rest: Any, **named: Any) -> Any:
        model = onnx.load(path)
        model.doc_string = "another"
        onnx.save(model, path)
        return real(path, *rest, **named)

    monkeypatch.setattr(onnxruntime, "InferenceSession", swap)
    with pytest.raises(BundleError, match=r"model\.onnx"):
        Router.load(copy)


@pytest.mark.parametrize(
    ("graph", "message"), [(b"no graph", "not a graph of a bundle"), (b"\x3a\x00", "onnxruntime does not load it")]
)
def test_a_graph_that_is_none_is_refused(rebuild: Callable[..., Path], graph: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=rf"model\.onnx: {message}"):
        Router.load(rebuild(graph=graph))


def test_a_tokenizer_that_is_none_is_refused(rebuild: Callable[..., Path]) -> None:
    with pytest.raises(BundleError, match=r"tokenizer\.json: tokenizers does not load it"):
        Router.load(rebuild(tokenizer_json="{}"))


def test_a_tokenizer_of_another_model_is_refused(rebuild: Callable[..., Path], tiny_bundle: Path) -> None:
    document = json.loads(load_bundle(tiny_bundle).read("tokenizer.json"))
    document["model"]["vocab"].update({f"word{n}": len(document["model"]["vocab"]) + n for n in range(50)})
    with pytest.raises(BundleError, match="fails on the tokenizer's last token"):
        Router.load(rebuild(tokenizer_json=json.dumps(document)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": ["input_ids", "mask"]}, "has no 'mask', which the manifest names"),
        ({"outputs": ["intent_probs", "useful"]}, "has no 'useful', which the manifest names"),
        ({"inputs": ["input_ids", "useful_probs"]}, r"useful_probs is tensor\(float\)"),
    ],
)
def test_names_must_fit_the_graph(
    rebuild: Callable[..., Path], tiny_graph: tuple[Path, GraphInfo], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        Router.load(rebuild(model_io=tiny_graph[1].io() | change))


def test_widths_must_fit_the_policy(
    rebuild: Callable[..., Path], tiny_policy: Policy, tiny_graph: tuple[Path, GraphInfo]
) -> None:
    tables: dict[str, Any] = {
        name: np.vstack([table, table[:1]]) for name, table in tiny_policy.expected.tables.items()
    }
    expected = Expected(**tables)
    policy = replace(tiny_policy, intents=(*tiny_policy.intents, "new"), expected=expected)
    with pytest.raises(BundleError, match=r"intent_probs is tensor\(float\) .*\(n, 4\) is needed"):
        Router.load(rebuild(policy=policy, model_io=tiny_graph[1].io() | {"intents": 4}))


SLIM = """
import json, sys
from pointsman.router import Router
imported = set(sys.modules)
router = Router.load(sys.argv[1])
decision = router.route("Why does this loop never end?")
heavy = ("torch", "pandas", "sklearn", "scipy", "mlflow", "optuna", "transformers", "sentence_transformers", "onnx",
         "pydantic", "yaml", "rich")
wings = {name for name in sys.modules if name.startswith("pointsman.")}
print(json.dumps({
    "heavy": [name for name in heavy if name in sys.modules],
    "at_import": [name for name in ("onnxruntime", "tokenizers") if name in imported],
    "wings": sorted(wings),
    "model": decision.model,
}))
"""


def test_the_slim_side_stays_slim(tiny_bundle: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SLIM, str(tiny_bundle)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(SOURCES)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["heavy"] == []
    assert found["at_import"] == []
    slim = {
        "background",
        "bundle",
        "decide",
        "decide_one",
        "decision",
        "errors",
        "expected",
        "following",
        "guards",
        "guards.attempts",
        "guards.chance",
        "guards.choosing",
        "guards.circuit",
        "guards.guards",
        "guards.leases",
        "guards.ledger",
        "guards.retrying",
        "guards.settings",
        "guards.spending",
        "guards.store",
        "guards.windows",
        "incoming",
        "kill_switch",
        "live",
        "manifest",
        "operators",
        "policy",
        "reasons",
        "rollout",
        "router",
        "rules",
        "session",
        "signature",
        "tally",
        "telling",
        "text",
        "values",
        "word_pieces",
    }
    assert set(found["wings"]) == {f"pointsman.{name}" for name in slim}
    assert done.stderr == ""
