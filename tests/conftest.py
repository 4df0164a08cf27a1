"""A real, tiny transformer and what is made of it: the exported side is tested in seconds and without a network."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from pointsman.bundle import write_bundle
from pointsman.classifier import Features, read
from pointsman.conformance import PROMPTS, conformance_vectors
from pointsman.encoders import TransformerEncoder
from pointsman.graph import GraphInfo, export_graph
from pointsman.guards.settings import GuardSettings, Retry
from pointsman.heads import Heads, LengthHead, RiskHead
from pointsman.lexical import Lexicon
from pointsman.policy import Candidate, Expected, Fallback, Policy
from pointsman.rules import ValueRule
from pointsman.scope_head import RawScope, ScopeHead
from pointsman.structure import COLUMNS, Structure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

# On busy shared cores a slow draw says nothing of the strategy. The gate draws the same examples every time; a
# developer's runs draw new ones.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("here", PATIENT)
settings.register_profile("gate", PATIENT, derandomize=True)
settings.load_profile("gate" if os.environ.get("CI") else "here")

INTENTS = ("chat", "code", "synthesis")
MODELS = ("small", "medium", "large")


def build_encoder(folder: Path, pooling: str = "mean") -> Path:
    """Save a two-layer BERT with a WordPiece vocabulary as a sentence-transformers model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import Normalize, Pooling, Transformer
        from transformers import BertConfig, BertModel, BertTokenizer

        letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
        words = ["the", "code", "write", "hello", "what", "is", "fix", "this", "sum", "##ing", "##s", "ä", "深", "🚉"]
        vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters), *words]
        vocab = list(dict.fromkeys(vocab))
        bert = folder / "bert"
        bert.mkdir(parents=True)
        (bert / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(vocab),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=128,
        )
        BertModel(config).save_pretrained(bert)
        BertTokenizer(str(bert / "vocab.txt"), model_max_length=128).save_pretrained(bert)
        transformer = Transformer(str(bert), max_seq_length=64)
        model = SentenceTransformer(modules=[transformer, Pooling(32, pooling), Normalize()], device="cpu")
        model.save(str(folder / "model"))
    return folder / "model"


def random_heads(d: int, k: int, m: int, v: int = 50, seed: int = 0) -> Heads:
    """Return heads that spread their opinions widely."""
    generator = np.random.default_rng(seed)

    def draw(*shape: int) -> NDArray[np.float32]:
        return (3 * generator.normal(size=shape)).astype(np.float32)

    table = generator.uniform(0, 1, (k, m)).astype(np.float32)
    idf = np.where(generator.random(v) < 0.2, 0.0, generator.uniform(1, 8, v)).astype(np.float32)
    heads = Heads(draw(d, k), draw(k), 1.7, table, draw(d, m), draw(m), 0.8, idf, draw(v, k), draw(v, m))
    usual = generator.uniform(3, 6, (k, m)).astype(np.float32)
    ends = np.log1p([[20.0], [900.0]]).repeat(m, axis=1).astype(np.float32)
    return replace(heads, lengths=LengthHead(usual, draw(d, m), draw(m), draw(v, m), *ends))


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> TransformerEncoder:
    return TransformerEncoder(build_encoder(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="session")
def make_encoder() -> Callable[..., Path]:
    return build_encoder


@pytest.fixture(scope="session")
def make_heads() -> Callable[..., Heads]:
    return random_heads


@pytest.fixture(scope="session")
def tiny_heads(tiny_encoder: TransformerEncoder) -> Heads:
    """Return heads whose opinions differ from prompt to prompt, though a random transformer's embeddings hardly do."""
    prompts = [prompt for prompt, _, _ in PROMPTS]
    ids = tiny_encoder.token_ids(prompts)
    structure = Structure.fit(ids, tiny_encoder.vocabulary, tiny_encoder.special_ids)
    d = tiny_encoder.dimensions + len(COLUMNS)
    heads = random_heads(d, len(INTENTS), len(MODELS), tiny_encoder.vocabulary_size)
    embeddings = Features.of(tiny_encoder.encode(prompts), ids, Lexicon(heads.idf), structure).embeddings
    mean = embeddings.mean(axis=0)
    spread = np.float32(np.sqrt(((embeddings - mean) ** 2).sum(axis=1).mean()))
    intent_weight, useful_weight = heads.intent_weight / spread, heads.useful_weight / spread
    lengths = heads.lengths
    assert lengths is not None
    length_weight = lengths.weight / (3 * spread)
    centres = (embeddings[::7] - mean) / spread
    risk = random_heads(d, len(INTENTS), len(MODELS), tiny_encoder.vocabulary_size, seed=1)
    risk_weight = risk.useful_weight / spread
    whitening = (np.eye(d) / spread).astype(np.float32)
    raw = RawScope(0.5, 0.2, 1.0, whitening, centres + mean / spread, intent_weight[:, 0])
    heads = replace(
        heads,
        hallucination=RiskHead(risk.table, risk_weight, -mean @ risk_weight, risk.useful_pieces, 1.3),
        scope=ScopeHead.calibrated(raw, np.linspace(-12, 14, 200)),
    )
    return replace(
        heads,
        intent_weight=intent_weight,
        intent_bias=-mean @ intent_weight,
        useful_weight=useful_weight,
        useful_bias=-mean @ useful_weight,
        lengths=replace(lengths, weight=length_weight, bias=-mean @ length_weight),
        structure=structure,
    )


@pytest.fixture(scope="session")
def tiny_policy() -> Policy:
    return Policy(
        intents=INTENTS,
        candidates=(
            Candidate("small", 0.1, 0.4, context_window=8_000),
            Candidate("medium", 0.5, 1.5, modalities=("text", "image"), timeout_ms=20_000.0),
            Candidate("large", 5.0, 15.0, modalities=("text", "image"), context_window=128_000, timeout_ms=30_000.0),
        ),
        rule=ValueRule(trust=0.7, useful_value_usd=0.05),
        expected=Expected(
            useful=np.array([[0.90, 0.92, 0.95], [0.55, 0.80, 0.93], [0.30, 0.60, 0.90]]),
            cost_usd=np.array([[0.0002, 0.001, 0.009], [0.0003, 0.002, 0.012], [0.0004, 0.003, 0.020]]),
            late=np.zeros((3, 3)),
        ),
        safe_model="small",
        fallbacks=(
            Fallback("medium", ("chat", "code"), 5_000.0),
            Fallback("large", ("synthesis", "long_context", "image", "timeout")),
            Fallback("small", ("error",)),
        ),
        guards=GuardSettings(Retry(max_retries=3)),
        evidence={"requests": 1200},
    )


@pytest.fixture(scope="session")
def tiny_graph(
    tiny_encoder: TransformerEncoder, tiny_heads: Heads, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, GraphInfo]:
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    return path, export_graph(tiny_encoder, tiny_heads, path)


@pytest.fixture(scope="session")
def tiny_bundle(
    tiny_encoder: TransformerEncoder,
    tiny_heads: Heads,
    tiny_policy: Policy,
    tiny_graph: tuple[Path, GraphInfo],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    graph, info = tiny_graph
    tokenizer = tiny_encoder.tokenizer_json()
    return write_bundle(
        tmp_path_factory.mktemp("bundles") / "tiny",
        graph=graph,
        tokenizer_json=tokenizer,
        policy=tiny_policy,
        conformance=conformance_vectors(partial(read, tiny_encoder, tiny_heads), tiny_policy, tokenizer),
        model_card="# Tiny\n",
        model_io=info.io(),
        provenance={"encoder": tiny_encoder.name, "seed": 0},
        seen=np.array([7, 3, 2**64 - 1, 3], dtype=np.uint64),
    )
