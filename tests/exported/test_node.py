"""The Node example decides as Python does: it passes the vectors of bundles, and agrees on policies drawn by chance."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pointsman.bundle import load_bundle, write_bundle
from pointsman.conformance import conformance_vectors
from pointsman.decide import Facts, Reading, believe, blend, decide, fallback_allowed
from pointsman.expected import Lengths
from pointsman.policy import Candidate, Expected, Fallback, Policy
from pointsman.router import Router
from pointsman.rules import Abstain, LadderRule, ValueRule

if TYPE_CHECKING:
    from pointsman.rules import Rule

EXAMPLE = Path(__file__).parents[2] / "exported" / "examples" / "node"
PAGE = EXAMPLE.parents[1] / "DECIDE.md"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


def run(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    assert NODE is not None
    return subprocess.run(
        [NODE, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its packages; ``POINTSMAN_NODE_MODULES`` names a folder that has them already."""
    folder = tmp_path_factory.mktemp("node") / "example"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", "package-lock.json"))
    there = os.environ.get("POINTSMAN_NODE_MODULES")
    if there:
        (folder / "node_modules").symlink_to(Path(there).resolve(), target_is_directory=True)
        return folder
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, and POINTSMAN_NODE_MODULES is not set")
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
    try:
        subprocess.run(command, cwd=folder, capture_output=True, timeout=180, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"npm cannot install the example's packages: {error}")
    return folder


EVERY_LENGTH = Lengths(
    tokens_in=np.array([200.0, 2_000.0, 9_000.0]),
    output_tokens=np.array([[40.0, 50.0, 60.0], [200.0, 250.0, 300.0], [400.0, 500.0, 600.0]]),
    usd_per_token_in=np.array([0.0, 1e-7, 5e-7]),
    usd_per_token_out=np.array([0.0, 1e-5, 4e-5]),
    late_bias=np.array([0.0, 0.3, -0.2]),
    late_per_log_in=np.array([0.0, 0.7, 0.4]),
    late_per_log_out=np.array([0.0, 0.0, 0.9]),
)
GROUPS = {"small talk": ("chat",), "work": ("code", "synthesis")}


def variants(policy: Policy) -> dict[str, Policy]:
    """Return policies that use everything a policy may say."""
    late = np.array([[0.02, 0.05, 0.2], [0.1, 0.3, 0.5], [0.2, 0.4, 0.7]])
    expected = replace(policy.expected, late=late, lengths=EVERY_LENGTH)
    ladder = LadderRule(
        0.7, {"small": 0.7, "medium": 0.6, "large": 1.5}, 0.45, GROUPS, {"small talk": -0.1, "work": 0.2}
    )
    value = ValueRule(1.0, 0.04, 0.01, GROUPS, {"small talk": 0.25, "work": 2.0}, Abstain(0.6, "large"))
    pins: dict[str, Any] = {
        "pinned_intents": {"code": "large"},
        "pinned_modalities": {"image": "large", "text": "medium"},
    }
    return {
        "value": replace(policy, expected=expected, rule=value),
        "ladder": replace(policy, expected=expected, rule=ladder),
        "doubtful": replace(policy, expected=expected, rule=replace(ladder, abstain=Abstain(0.8, "medium"))),
        "strange": replace(policy, expected=expected, rule=replace(ladder, abstain=Abstain(0.0, "medium", 0.5))),
        "pinned": replace(policy, expected=expected, **pins),
        "long": replace(policy, long_context="medium", long_context_tokens=800, rule=replace(value, abstain=None)),
        "cut": replace(policy, text=replace(policy.text, head_chars=40, tail_chars=7)),
    }


def test_it_passes_every_vector(example: Path, tiny_bundle: Path, tiny_policy: Policy, tmp_path: Path) -> None:
    bundle, router = load_bundle(tiny_bundle), Router.load(tiny_bundle)
    folders, models = [tiny_bundle], set()
    for name, policy in variants(tiny_policy).items():
        tokenizer = bundle.read("tokenizer.json").decode()
        parts: dict[str, Any] = {"graph": bundle.read("model.onnx"), "tokenizer_json": tokenizer, "policy": policy}
        parts |= {"model_io": bundle.io, "provenance": {}, "seen": [], "model_card": ""}
        # What the graph reads depends on the policy through the cut alone.
        if policy.text != tiny_policy.text:
            router = Router.load(write_bundle(tmp_path / "reads", conformance=[], **parts))
        vectors = conformance_vectors(router.read, policy, tokenizer)
        assert len(vectors) > 30, name
        models |= {(name, vector["model"]) for vector in vectors}
        folders.append(write_bundle(tmp_path / name, conformance=vectors, **parts))
    assert len(models) > 12, "most policies must send requests to several models"
    done = run(example / "conformance.mjs", *folders)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("vectors pass") == len(folders)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("input_ids", [1, 2, 3]),
        ("clipped", "something else"),
        ("useful_probs", [0.2, 0.2, 0.6]),
        ("intent", "poetry"),
        ("model", "gigantic"),
        ("fallbacks", ["gigantic"]),
        ("timeout_ms", 1.0),
    ],
)
def test_the_first_difference_is_told(example: Path, tiny_bundle: Path, tmp_path: Path, key: str, value: Any) -> None:
    bundle = load_bundle(tiny_bundle)
    vectors = [json.loads(line) for line in bundle.read("conformance.jsonl").decode().splitlines()]
    vectors[3][key] = value
    altered = write_bundle(
        tmp_path / "b",
        graph=bundle.read("model.onnx"),
        tokenizer_json=bundle.read("tokenizer.json").decode(),
        policy=bundle.policy,
        conformance=vectors,
        model_card="",
        model_io=bundle.io,
        provenance={},
        seen=[],
    )
    done = run(example / "conformance.mjs", altered)
    assert done.returncode == 1
    assert re.search(rf"conformance\.jsonl:4: {key}", done.stderr)


def test_a_decision_is_the_router_s(example: Path, tiny_bundle: Path) -> None:
    text = "What is the sum in this picture? 深🚉"
    done = run(example / "route.mjs", tiny_bundle, text, "--modality", "image", "--context-tokens", "5000")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    wanted = Router.load(tiny_bundle).route(text, modality="image", context_tokens=5000).to_dict()
    for key in ("model", "intent", "tier", "fallbacks", "timeout_ms", "version", "degraded", "cached_answer"):
        assert found[key] == wanted[key], key
    for key in ("confidence", "p_useful", "expected_cost_usd"):
        assert found[key] == pytest.approx(wanted[key], abs=1e-4), key


@pytest.mark.parametrize("name", ["manifest.json", "policy.json", "model.onnx", "more.txt", "link"])
def test_an_altered_bundle_is_refused(example: Path, tiny_bundle: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(tiny_bundle, tmp_path / "b")
    if name == "link":
        (copy / "policy.json").unlink()
        (copy / "policy.json").symlink_to(tiny_bundle / "policy.json")
    else:
        data = (copy / name).read_bytes() if (copy / name).exists() else b""
        (copy / name).write_bytes(data.replace(b"1", b"2", 1) + b"\n" * (name == "more.txt"))
    done = run(example / "route.mjs", copy, "hello")
    assert (done.returncode, done.stdout) == (2, "")


CASES = """
import { readFileSync } from "node:fs";
const { decide } = await import(process.argv[1]);
const cases = JSON.parse(readFileSync(0));
console.log(JSON.stringify(cases.map(({ policy, readings, facts }) =>
  readings.map((reading, at) => decide(reading, facts[at], policy)))));
"""


def drawn(generator: np.random.Generator, *, whole: bool) -> tuple[Policy, Reading, Facts]:
    """Draw a policy and requests; `whole`: small fractions of 2, which float32 adds and multiplies exactly."""
    intents = tuple(f"intent {index}" for index in range(generator.integers(1, 5)))
    names = [str(7 - index) if index % 2 else f"model {index}" for index in range(generator.integers(1, 5))]
    k, m, n = len(intents), len(names), 24

    def sixteenths(*shape: int) -> Any:
        return generator.integers(0, 17, shape) / 16 if whole else generator.random(shape)

    def sizes(*shape: int) -> Any:
        return generator.integers(1, 64, shape) * 16.0

    def pick(share: float = 0.5) -> str | None:
        return str(generator.choice(names)) if generator.random() < share else None

    modalities = [
        tuple(word for word in ("text", "image", "audio") if generator.random() < 0.7) or ("text",) for _ in names
    ]
    windows = [int(generator.choice([500, 2_000])) if generator.random() < 0.4 else None for _ in names]
    candidates = tuple(
        Candidate(name, modalities=able, context_window=window, timeout_ms=float(index))
        for index, (name, able, window) in enumerate(zip(names, modalities, windows, strict=True))
    )
    groups = {name: (name,) for name in intents if generator.random() < 0.5}
    model = pick()
    abstain = None if model is None else Abstain(float(generator.choice([0.25, 0.5, 0.75])), model)
    rule: Rule
    if generator.random() < 0.5:
        factor = {name: float(generator.choice([0.25, 2.0, 4.0])) for name in groups}
        late_cost = float(generator.choice([0.0, 0.5]))
        rule = ValueRule(float(generator.choice([0, 0.25, 1])), 2.0, late_cost, groups, factor, abstain)
    else:
        shift = {name: float(generator.choice([-0.5, 0.125, 1.0])) for name in groups}
        least = dict(zip(names, (sixteenths(m) * 1.25).tolist(), strict=True))
        rule = LadderRule(0.5, least, float(generator.choice([0.25, 0.5, 1.0])), groups, shift, abstain)
    lengths = None
    if generator.random() < 0.6:
        late_by_length = np.zeros((2, m)) if whole else generator.random((2, m)) * (generator.random((2, m)) < 0.6)
        lengths = Lengths(
            tokens_in=sizes(k),
            output_tokens=sizes(k, m),
            usd_per_token_in=generator.integers(0, 3, m) / 1024,
            usd_per_token_out=generator.integers(0, 3, m) / 1024,
            late_bias=np.zeros(m) if whole else generator.normal(size=m),
            late_per_log_in=late_by_length[0],
            late_per_log_out=late_by_length[1],
        )
    words = ("text", "image", "audio", "long_context", "timeout", "error", *intents)
    policy = Policy(
        intents=intents,
        candidates=candidates,
        rule=rule,
        expected=Expected(sixteenths(k, m), sixteenths(k, m), sixteenths(k, m), lengths),
        safe_model=str(generator.choice(names)),
        pinned_intents={name: str(pick(1.0)) for name in intents if generator.random() < 0.2},
        pinned_modalities={name: str(pick(1.0)) for name in ("image", "audio") if generator.random() < 0.2},
        fallbacks=tuple(
            Fallback(str(pick(1.0)), tuple(map(str, generator.choice(words, generator.integers(0, 3))))) for _ in "1234"
        ),
        long_context_tokens=1_000,
        long_context=pick(),
    )
    parts = generator.integers(0, 2, (n, 8))
    shares = np.zeros((n, k))
    for column in range(8):
        shares[np.arange(n), (parts[:, column] * generator.integers(0, k, n)) % k] += 1 / 8
    tokens = sizes(n, m) if generator.random() < 0.7 else None
    reading = Reading(shares.astype(np.float32), sixteenths(n, m).astype(np.float32), tokens)
    modality = generator.choice(["text", "image", "audio"], n, p=[0.6, 0.25, 0.15])
    return policy, reading, Facts(modality, generator.integers(0, 2_500, n))


@pytest.mark.parametrize("whole", [True, False])
def test_drawn_policies_are_decided_alike(whole: bool) -> None:
    """Whole numbers tie often, and must tie in both; others are compared by their beliefs, too."""
    generator = np.random.default_rng(5 + whole)
    drawings = [drawn(generator, whole=whole) for _ in range(100)]
    cases = [
        {
            "policy": policy.to_dict(),
            "readings": [
                {
                    "intentProbs": reading.intent_probs[at].tolist(),
                    "usefulProbs": reading.useful_probs[at].tolist(),
                    "outputTokens": None if reading.output_tokens is None else reading.output_tokens[at].tolist(),
                }
                for at in range(len(facts.tokens))
            ],
            "facts": [
                {"modality": str(modality), "tokens": int(tokens)}
                for modality, tokens in zip(facts.modality, facts.tokens, strict=True)
            ],
        }
        for policy, reading, facts in drawings
    ]
    where = (EXAMPLE / "decide.mjs").as_uri()
    done = run("--input-type=module", "-e", CASES, where, stdin=json.dumps(cases))
    assert done.returncode == 0, done.stderr
    reached = set()
    for (policy, reading, facts), answers in zip(drawings, json.loads(done.stdout), strict=True):
        beliefs = believe(reading, facts, policy)
        useful, allowed = blend(beliefs, policy.rule), fallback_allowed(beliefs, facts, policy)
        chosen = decide(beliefs, policy.rule)
        reached |= {(policy.rule.kind, int(one)) for one in chosen}
        for at, answer in enumerate(answers):
            assert answer["eligible"] == beliefs.eligible[:, at].tolist()
            for key, table in {"useful": useful, "cost": beliefs.cost_usd, "late": beliefs.late}.items():
                got = [one[key] for one in answer["beliefs"]["candidates"]]
                assert got == pytest.approx(table[:, at].tolist(), rel=1e-5, abs=1e-5)
            assert answer["decision"]["tier"] == chosen[at]
            name = policy.models[chosen[at]]
            steps = [entry.model for entry, fits in zip(policy.fallbacks, allowed[:, at], strict=True) if fits]
            assert answer["decision"]["fallbacks"] == [step for step in dict.fromkeys(steps) if step != name]
    assert len(reached) == 8, "both kinds of rule must reach all four candidates"


BARRED = """
const { decide } = await import(process.argv[1]);
const [policy, reading, facts] = JSON.parse(process.argv[2]);
const bar = (...names) => decide(reading, facts, policy, names).decision;
const all = policy.candidates.map(({ name }) => name);
console.log(JSON.stringify([bar(), bar("small"), bar("small", "medium"), bar(...all),
  decide(reading, facts, policy, all, []).decision].map(({ model, degraded, cached_answer }) =>
    [model, degraded, cached_answer])));
"""


def test_barred_candidates_are_not_eligible(tiny_policy: Policy) -> None:
    rule = LadderRule(0.0, {"small": 0.0, "medium": 0.0, "large": 0.0})
    guards = replace(tiny_policy.guards, simpler_model="medium", cached_answer="sorry")
    policy = replace(tiny_policy, rule=rule, guards=guards, safe_model="large")
    reading = {"intentProbs": [1, 0, 0], "usefulProbs": [0.5, 0.5, 0.5]}
    given = json.dumps([policy.to_dict(), reading, {"modality": "text", "tokens": 10}])
    done = run("--input-type=module", "-e", BARRED, (EXAMPLE / "decide.mjs").as_uri(), given)
    assert json.loads(done.stdout) == [
        ["small", None, None],
        ["medium", None, None],
        ["large", None, None],
        ["large", "safe_model", "sorry"],
        ["medium", "simpler_model", "sorry"],
    ]


def test_the_page_s_example_adds_up() -> None:
    """The table's scores follow from its other columns, and its tokens from its prompt."""
    page = PAGE.read_text(encoding="utf-8")
    worked = page[page.index("## 9.") :]
    prompt = re.findall(r'quickstart/bundle "([^"]+)"', worked)[0]
    tokens = int(re.findall(r"tokens = .*? = (\d+)", worked)[0])
    assert Facts.of(len(prompt), "text", 3000).tokens.tolist() == [tokens]
    worth, late_cost = (
        float(re.findall(rf"`{name}`? (?:= )?`?([\d.]+)", worked)[0]) for name in ("worth", "late_cost_usd")
    )
    rows = [line.strip("| ").split(" | ") for line in worked.splitlines() if re.match(r"\| [\w-]+ \| \d", line)]
    numbers = np.array([row[1:] for row in rows], dtype=np.float64)
    _, _, useful, cost, late, score = numbers.T
    assert len(rows) == 4
    assert worth * useful - cost - late_cost * late == pytest.approx(score, abs=2e-6)
    assert f"The largest score is `{rows[int(score.argmax())][0]}`" in worked
