"""The world of the sample week: intents, candidates and what each is good at.

All figures are invented. Times are in milliseconds, prices in USD per million tokens.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """One model that can answer.

    Parameters
    ----------
    input_usd_per_mtok, output_usd_per_mtok
        Prices.
    modalities
        What it takes in.
    context_window
        Tokens it can read; a longer request is rejected.
    timeout_ms
        After this time an attempt is given up.
    concurrency
        Requests it serves at once.
    first_token_ms, ms_per_token, ms_per_mtok_read
        Idle time to the first token, per written token, and per million read tokens.
    load_sensitivity
        Relative slowdown at an ordinary daily peak; grows with the square of the load.
    wordiness
        Length of its answers relative to the intent's usual length.
    error_rate, stall_rate
        Chance that one attempt fails or stalls at an idle hour.
    overcaution
        Share of plain requests whose answer it spoils by length and hedging.
    invention
        How easily it makes things up (1 = as the intent's usual rate).
    """

    input_usd_per_mtok: float
    output_usd_per_mtok: float
    modalities: tuple[str, ...]
    context_window: int
    timeout_ms: int
    concurrency: int
    first_token_ms: float
    ms_per_token: float
    ms_per_mtok_read: float
    load_sensitivity: float
    wordiness: float
    error_rate: float
    stall_rate: float
    overcaution: float
    invention: float


@dataclass(frozen=True)
class Intent:
    """One kind of request.

    Parameters
    ----------
    share
        Share of the traffic.
    difficulty
        Mean difficulty (0..1).
    output_tokens
        Median length of an answer of ordinary wordiness.
    context_tokens
        Median history and documents beyond the prompt.
    context_spread
        Standard deviation of the logarithm of the context length.
    grounded
        Share of requests answered with retrieval.
    connector
        Share of requests that call a connector (CRM, sandbox, image store).
    plain
        1 where a short, direct answer is wanted, else 0.
    invention
        Chance of a made-up statement without grounding at medium difficulty.
    patience_ms
        Past this time users begin to leave.
    skill
        Difficulty that each candidate masters half the time, in the order of :data:`CANDIDATES`.
    """

    share: float
    difficulty: float
    output_tokens: float
    context_tokens: float
    context_spread: float
    grounded: float
    connector: float
    plain: float
    invention: float
    patience_ms: float
    skill: tuple[float, float, float, float]


CANDIDATES: dict[str, Candidate] = {
    "small-precise": Candidate(
        input_usd_per_mtok=0.3,
        output_usd_per_mtok=1.2,
        modalities=("text",),
        context_window=8_192,
        timeout_ms=500,
        concurrency=64,
        first_token_ms=52.0,
        ms_per_token=0.28,
        ms_per_mtok_read=4_000.0,
        load_sensitivity=0.06,
        wordiness=0.8,
        error_rate=0.006,
        stall_rate=0.002,
        overcaution=0.0,
        invention=1.3,
    ),
    "mid-writer": Candidate(
        input_usd_per_mtok=1.2,
        output_usd_per_mtok=4.8,
        modalities=("text",),
        context_window=32_768,
        timeout_ms=900,
        concurrency=32,
        first_token_ms=54.0,
        ms_per_token=0.28,
        ms_per_mtok_read=4_500.0,
        load_sensitivity=0.10,
        wordiness=1.0,
        error_rate=0.008,
        stall_rate=0.003,
        overcaution=0.07,
        invention=1.0,
    ),
    "big-decoder-v2": Candidate(
        input_usd_per_mtok=5.0,
        output_usd_per_mtok=15.0,
        modalities=("text",),
        context_window=128_000,
        timeout_ms=2_500,
        concurrency=8,
        first_token_ms=41.0,
        ms_per_token=0.90,
        ms_per_mtok_read=6_000.0,
        load_sensitivity=0.18,
        wordiness=1.4,
        error_rate=0.012,
        stall_rate=0.010,
        overcaution=0.14,
        invention=0.7,
    ),
    "vision-scout": Candidate(
        input_usd_per_mtok=1.5,
        output_usd_per_mtok=6.0,
        modalities=("text", "image"),
        context_window=32_768,
        timeout_ms=900,
        concurrency=16,
        first_token_ms=58.0,
        ms_per_token=0.38,
        ms_per_mtok_read=7_000.0,
        load_sensitivity=0.15,
        wordiness=1.0,
        error_rate=0.010,
        stall_rate=0.004,
        overcaution=0.08,
        invention=1.0,
    ),
}

# In order: share, difficulty, output_tokens, context_tokens, context_spread, grounded, connector, plain, invention,
# patience_ms, skill of the four candidates.
INTENT_WORLD: dict[str, Intent] = {
    "short_factual_lookup": Intent(0.27, 0.20, 26, 500, 0.9, 0.75, 0.0, 1.0, 0.14, 280, (0.48, 0.58, 0.68, 0.48)),
    "navigation": Intent(0.20, 0.15, 20, 250, 0.7, 0.10, 0.0, 1.0, 0.03, 280, (0.44, 0.52, 0.60, 0.46)),
    "rewriting": Intent(0.07, 0.33, 75, 250, 0.8, 0.0, 0.0, 0.0, 0.02, 600, (0.40, 0.66, 0.70, 0.48)),
    "extraction": Intent(0.07, 0.34, 50, 350, 0.9, 0.0, 0.0, 0.6, 0.06, 500, (0.62, 0.70, 0.76, 0.54)),
    "summarise_long_doc": Intent(0.05, 0.45, 130, 2_600, 0.8, 0.0, 0.0, 0.0, 0.08, 900, (0.42, 0.74, 0.82, 0.52)),
    "complex_synthesis": Intent(0.035, 0.55, 400, 2_300, 0.8, 0.70, 0.0, 0.0, 0.25, 1_500, (0.26, 0.52, 0.92, 0.40)),
    "code": Intent(0.055, 0.46, 295, 800, 1.0, 0.05, 0.55, 0.0, 0.06, 1_300, (0.30, 0.54, 0.86, 0.38)),
    "poetry": Intent(0.03, 0.35, 120, 80, 0.8, 0.0, 0.0, 0.0, 0.0, 800, (0.36, 0.64, 0.68, 0.46)),
    "support_complaint": Intent(0.07, 0.42, 95, 700, 0.8, 0.55, 0.85, 0.0, 0.12, 700, (0.42, 0.70, 0.76, 0.50)),
    "image_question": Intent(0.05, 0.38, 70, 900, 0.4, 0.0, 0.90, 0.0, 0.12, 700, (0.42, 0.52, 0.54, 0.78)),
    "chit_chat": Intent(0.06, 0.15, 35, 250, 0.9, 0.0, 0.0, 1.0, 0.0, 400, (0.48, 0.56, 0.62, 0.46)),
    "junk_adversarial": Intent(0.04, 0.24, 25, 60, 0.9, 0.0, 0.0, 1.0, 0.01, 500, (0.48, 0.56, 0.62, 0.46)),
}

#: Intents that come up later (see :class:`pointsman.sample_week.change.Change`).
LATER_INTENTS: dict[str, Intent] = {
    "travel_booking": Intent(0.0, 0.40, 60, 400, 0.6, 0.20, 0.90, 0.3, 0.08, 700, (0.34, 0.50, 0.80, 0.42)),
}

#: Production sent everything here, images too.
PRODUCTION = "big-decoder-v2"
#: Where the kill-switch goes.
SAFE = "small-precise"
#: Real traffic of which the sample is a part.
REQUESTS_PER_MONTH = 1_700_000
