"""What a caller hands the router, checked once at the door."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.decide import Facts
from pointsman.errors import PointsmanError
from pointsman.policy import MODALITIES
from pointsman.text import valid_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.session import Prompt

__all__ = ["checked_amounts", "checked_facts", "checked_ids", "checked_prompts", "each_of", "made_ids"]

MAX_CONTEXT_TOKENS = 2**53
MAX_ID_CHARS = 256


def checked_prompts(texts: Sequence[Prompt]) -> list[Prompt]:
    """Return the prompts as a list; refuse one text where several are expected, and what is no text at all."""
    if isinstance(texts, str | bytes):
        raise PointsmanError("a list of prompts is needed, got one text; use route() for one")
    for text in texts:
        if text is not None and not isinstance(text, str | bytes):
            raise PointsmanError(f"a prompt is {type(text).__name__}; str, bytes or None is needed")
    return list(texts)


def checked_facts(
    prompts: Sequence[Prompt], modality: str | Sequence[str], context_tokens: int | Sequence[int]
) -> Facts:
    """Return the facts of each request; raise PointsmanError where one is out of range."""
    count = len(prompts)
    modalities = each_of(modality, count)
    contexts = each_of(context_tokens, count)
    for name, length in {"modality": len(modalities), "context_tokens": len(contexts)}.items():
        if length != count:
            raise PointsmanError(f"{length} values of {name} for {count} prompts; one for all or one each is needed")
    for value in modalities:
        if value not in MODALITIES:
            raise PointsmanError(f"modality is {value!r}; allowed: {', '.join(MODALITIES)}")
    for context in contexts:
        if not isinstance(context, int | np.integer) or not 0 <= context <= MAX_CONTEXT_TOKENS:
            raise PointsmanError(f"context_tokens is {context!r}; an integer of at least 0 is needed")
    chars = [len(valid_text(prompt)) if isinstance(prompt, bytes) else len(prompt or "") for prompt in prompts]
    return Facts.of(chars, modalities, contexts)


def checked_amounts(**amounts: float | None) -> None:
    """Refuse amounts of a report that are negative or not finite, and a useful above 1."""
    for name, value in amounts.items():
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise PointsmanError(f"report: {name} is {value!r}; a finite number of at least 0 is needed")
        if name == "useful" and value is not None and value > 1:
            raise PointsmanError(f"report: useful is {value!r}; a number from 0 to 1 is needed")


def each_of(value: Any, count: int) -> list[Any]:
    """Return one value for each of `count` requests, where it was given for all or for each."""
    return [value] * count if isinstance(value, str) or not isinstance(value, Iterable) else list(value)


def made_ids(count: int) -> list[str]:
    """Return ids that nobody can guess, 32 hexadecimal digits each."""
    digits = secrets.token_hex(16 * count)
    return [digits[at : at + 32] for at in range(0, len(digits), 32)]


def checked_ids(request_ids: Sequence[str], count: int) -> list[str]:
    """Return the ids of the requests; refuse what is no id, or too long to be one."""
    if isinstance(request_ids, str) or len(request_ids) != count:
        raise PointsmanError(f"{len(request_ids)} values of request_ids for {count} prompts; one each is needed")
    for one in request_ids:
        if not isinstance(one, str) or not 0 < len(one) <= MAX_ID_CHARS:
            raise PointsmanError(f"request_id is {str(one)[:80]!r}; a text of 1 to {MAX_ID_CHARS} characters is needed")
    return list(request_ids)
