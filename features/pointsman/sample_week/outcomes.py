"""What happens when each request is replayed against each candidate: tokens, time, cost, usefulness.

Arrays have the shape ``(n, m)`` for n requests and m candidates, unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pointsman.sample_week.world import CANDIDATES, INTENT_WORLD, LATER_INTENTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Wholes = NDArray[np.int64]
    Flags = NDArray[np.bool_]

_ATTEMPTS = 3
_BACKOFF_MS = 12.0
_STALLS_AGAIN = 0.7
_STEEPNESS = 12.0
_CEILING = 0.985
_SHARED_LUCK = 0.35
_NETWORK_MS = 14.0
_RETRIEVAL_MS, _RETRIEVAL_USD = 16.0, 0.0008
_CONNECTOR_MS, _CONNECTOR_USD = 16.0, 0.0025


@dataclass(frozen=True)
class Requests:
    """What is given about each request before any model sees it; every array is ``(n,)``.

    Parameters
    ----------
    intent
        Intent names.
    load
        Load at arrival, 1 at an ordinary daily peak.
    difficulty
        Latent difficulty, 0..1.
    prompt_tokens
        Tokens of the prompt itself.
    image
        True where a picture is attached.
    """

    intent: NDArray[np.str_]
    load: Floats
    difficulty: Floats
    prompt_tokens: Wholes
    image: Flags


@dataclass(frozen=True)
class Outcomes:
    """Results of the replay: ``(n,)`` where the same for all candidates, else ``(n, m)``; times in ms, money in USD."""

    context_tokens: Wholes
    retrieval_cost_usd: Floats
    connector_cost_usd: Floats
    input_tokens: Wholes
    output_tokens: Floats
    cost_usd: Floats
    retries: Wholes
    retry_cost_usd: Floats
    latency_ms: Floats
    status: NDArray[np.str_]
    useful: Floats
    hallucinated: Floats
    chance: Floats
    """Probability that the answer is useful, once its time and inventions are known; 0 where it failed."""


@dataclass(frozen=True)
class _Attempts:
    elapsed_ms: Floats
    retries: Wholes
    retry_usd: Floats
    status: NDArray[np.str_]


def _per_intent(intent: NDArray[np.str_], field: str) -> Floats:
    """Return one figure of each request's intent; ``skill`` gives ``(n, m)``."""
    table = {name: getattr(world, field) for name, world in (INTENT_WORLD | LATER_INTENTS).items()}
    return np.array([table[str(name)] for name in intent], dtype=np.float64)


def _per_candidate(field: str) -> Floats:
    """Return one figure of every candidate, ``(m,)``."""
    return np.array([getattr(candidate, field) for candidate in CANDIDATES.values()], dtype=np.float64)


def replay(
    rng: np.random.Generator, requests: Requests, skill: Floats | float = 0.0, slower: Floats | float = 1.0
) -> Outcomes:
    """Replay every request against every candidate.

    Parameters
    ----------
    rng
        Random generator.
    requests
        The requests.
    skill, slower
        ``(m,)``: what is added to each candidate's skill, and the factor of its times.
    """
    intent = requests.intent
    count, models = len(intent), len(CANDIDATES)
    spread = rng.standard_normal(count) * _per_intent(intent, "context_spread")
    context = np.minimum(_per_intent(intent, "context_tokens") * np.exp(spread), 60_000).astype(np.int64)
    grounded = rng.random(count) < _per_intent(intent, "grounded")
    connected = rng.random(count) < _per_intent(intent, "connector")
    retrieval_usd = np.where(grounded, _RETRIEVAL_USD * rng.lognormal(-0.05, 0.3, count), 0.0)
    connector_usd = np.where(connected, _CONNECTOR_USD * rng.lognormal(-0.05, 0.3, count), 0.0)
    around_ms = (
        _NETWORK_MS * rng.lognormal(0.0, 0.25, count)
        + np.where(grounded, _RETRIEVAL_MS * rng.lognormal(0.0, 0.3, count), 0.0)
        + np.where(connected, _CONNECTOR_MS * rng.lognormal(0.0, 0.35, count), 0.0)
    )

    tokens_in = requests.prompt_tokens + context + np.where(requests.image, 600, 0)
    read = np.repeat(tokens_in[:, None], models, axis=1)
    written = _answer_lengths(rng, requests)
    answer_usd = (read * _per_candidate("input_usd_per_mtok") + written * _per_candidate("output_usd_per_mtok")) / 1e6
    read_usd = read * _per_candidate("input_usd_per_mtok") / 1e6
    attempts = _attempt(rng, requests, read, written, read_usd, answer_usd, slower)

    rejected = read > _per_candidate("context_window")
    status = np.where(rejected, "error", attempts.status)
    answered = status == "ok"
    latency = np.where(rejected, 0.0, attempts.elapsed_ms) + around_ms[:, None]
    invented = _inventions(rng, requests, grounded)
    useful, chance = _usefulness(rng, requests, latency, invented, skill)
    return Outcomes(
        context_tokens=context,
        retrieval_cost_usd=retrieval_usd,
        connector_cost_usd=connector_usd,
        input_tokens=read,
        output_tokens=np.where(answered, written, np.nan),
        cost_usd=np.where(rejected, 0.0, np.where(answered, answer_usd, read_usd)),
        retries=np.where(rejected, 0, attempts.retries),
        retry_cost_usd=np.where(rejected, 0.0, attempts.retry_usd),
        latency_ms=latency,
        status=status,
        useful=(useful & answered).astype(np.float64),
        hallucinated=np.where(answered, invented.astype(np.float64), np.nan),
        chance=chance * answered,
    )


def _answer_lengths(rng: np.random.Generator, requests: Requests) -> Floats:
    """Return written tokens: lognormal, longer for harder requests and wordier models."""
    count, models = len(requests.intent), len(CANDIDATES)
    usual = _per_intent(requests.intent, "output_tokens") * np.exp(0.6 * (requests.difficulty - 0.35))
    shared = rng.standard_normal((count, 1)) * 0.24
    own = rng.standard_normal((count, models)) * 0.15
    written = usual[:, None] * _per_candidate("wordiness") * np.exp(shared + own)
    return np.asarray(np.maximum(np.round(written), 3.0), dtype=np.float64)


def _attempt(
    rng: np.random.Generator,
    requests: Requests,
    read: Wholes,
    written: Floats,
    read_usd: Floats,
    answer_usd: Floats,
    slower: Floats | float,
) -> _Attempts:
    """Try up to three times; failures and stalls grow with the load and the size of the request."""
    shape = read.shape
    timeout = _per_candidate("timeout_ms")
    load = requests.load[:, None]
    slowdown = (1.0 + _per_candidate("load_sensitivity") * load**2) * slower
    size = 1.0 + (read + 4.0 * written) / 4_000.0
    strain = size * (0.4 + 0.8 * load**2)
    elapsed, retry_usd = np.zeros(shape), np.zeros(shape)
    retries = np.zeros(shape, dtype=np.int64)
    status = np.full(shape, "open", dtype="<U7")
    stall_chance = _per_candidate("stall_rate") * strain
    for turn in range(_ATTEMPTS):
        first = _per_candidate("first_token_ms") * rng.lognormal(0.0, 0.14, shape)
        writing = written * _per_candidate("ms_per_token") + read * _per_candidate("ms_per_mtok_read") / 1e6
        stalled = rng.random(shape) < stall_chance
        service = (first + writing) * slowdown * np.where(stalled, 4.0 + rng.pareto(1.0, shape) * 8.0, 1.0)
        failed = rng.random(shape) < _per_candidate("error_rate") * strain
        late = ~failed & (service > timeout)
        still_open = status == "open"
        lasted = np.where(failed, 0.4 * service, np.minimum(service, timeout))
        elapsed += np.where(still_open, np.minimum(lasted, timeout), 0.0)
        result = np.where(failed, "error", np.where(late, "timeout", "ok"))
        again = still_open & (result != "ok") & (turn < _ATTEMPTS - 1)
        stall_chance = np.where(late, _STALLS_AGAIN, stall_chance)
        retries += again
        elapsed += np.where(again, _BACKOFF_MS * (turn + 1), 0.0)
        retry_usd += np.where(again, np.where(late, 0.5 * (read_usd + answer_usd), read_usd), 0.0)
        status = np.where(still_open & ~again, result, status)
    return _Attempts(elapsed_ms=elapsed, retries=retries, retry_usd=retry_usd, status=status)


def _inventions(rng: np.random.Generator, requests: Requests, grounded: Flags) -> Flags:
    """Return which answers make something up: more without grounding, on hard requests, and about unseen images."""
    hardness = 0.3 + 2.0 * requests.difficulty
    chance = _per_intent(requests.intent, "invention") * hardness * np.where(grounded, 0.2, 1.0)
    gap = np.clip(requests.difficulty[:, None] - _per_intent(requests.intent, "skill"), 0.0, None)
    each = chance[:, None] * _per_candidate("invention") * (1.0 + 3.0 * gap)
    unseen = requests.image[:, None] & _text_only()
    each = np.where(unseen, 0.45, np.minimum(each, 0.6))
    return np.asarray(rng.random(each.shape) < each, dtype=np.bool_)


def _text_only() -> Flags:
    return np.array(["image" not in candidate.modalities for candidate in CANDIDATES.values()], dtype=np.bool_)


def _usefulness(
    rng: np.random.Generator, requests: Requests, latency_ms: Floats, invented: Flags, skill: Floats | float
) -> tuple[Flags, Floats]:
    """Return which answers serve the user, and their chance to: logistic in skill minus difficulty, less where late."""
    gap = _per_intent(requests.intent, "skill") + skill - requests.difficulty[:, None]
    chance = _CEILING / (1.0 + np.exp(-_STEEPNESS * gap))
    plain = _per_intent(requests.intent, "plain")[:, None]
    chance = chance * (1.0 - plain * _per_candidate("overcaution"))
    patience = _per_intent(requests.intent, "patience_ms")[:, None]
    chance = chance * (1.0 - 0.4 * np.clip(latency_ms / patience - 1.0, 0.0, 1.0))
    chance = np.where(requests.image[:, None] & _text_only(), 0.12 * chance, chance)
    chance = np.where(invented, 0.1 * chance, chance)
    # The same luck for part of the requests: what one model misses by chance, the next often misses too.
    count, models = chance.shape
    together = rng.random((count, 1)) < _SHARED_LUCK
    luck = np.where(together, rng.random((count, 1)), rng.random((count, models)))
    return np.asarray(luck < chance, dtype=np.bool_), chance
