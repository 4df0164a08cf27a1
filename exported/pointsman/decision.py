"""The decision: where one request goes and why, for people and for machines; and what to try when that fails.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from pointsman.errors import PointsmanError
from pointsman.guards.attempts import Step

__all__ = ["Decision", "Step", "Telling"]


class Telling(Protocol):
    """Tells of decisions what is seldom asked, when it is asked: see `Decision.told`."""

    def tell(self, name: str, at: int) -> Any:
        """Return a field of `LATER` of the decision at a position."""


class _Told:
    """Fields that were left out are asked of a telling, once."""

    __slots__ = ("_telling",)

    def __getattr__(self, name: str) -> Any:
        if name not in LATER:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        telling, at = object.__getattribute__(self, "_telling")
        value = telling.tell(name, at)
        object.__setattr__(self, name, value)
        return value


@dataclass(frozen=True, slots=True)
class Decision(_Told):
    """Where one request goes.

    Two decisions are equal where they send a request to the same place for the same reason: its id, the time, and what
    is drawn or told in detail (`retry_delays_ms`, `fallback_steps`, `tried`) do not count.

    Attributes
    ----------
    model : str
        The candidate that gets it.
    intent : str or None
        The most probable intent; None under the kill-switch, which asks no classifier.
    tier : int
        Position of the model among the policy's candidates; 0 is the cheapest.
    confidence : float or None
        Probability of that intent, 0..1.
    p_useful : float or None
        Believed probability that the model's response is useful, 0..1.
    fallbacks : tuple of str
        Where to go when the model fails, in order; `fallback_steps` says for which failures and until when.
    timeout_ms : float or None
        After this many ms the answer counts as failed; None for no limit.
    reason : str
        One sentence.
    request_id : str
        The caller's, or one that was made.
    version : str
        Of the bundle: the first 16 characters of its manifest's hash.
    modality, context_tokens : str, int
        As the caller told.
    propensity : float or None
        Probability with which it got this model, given `barred`; 1 without exploration, None after a fallback.
    explored : bool
        Whether the model was drawn.
    expected_cost_usd : float or None
        USD.
    barred : dict of str to str
        Candidates that guards kept from it, and why.
    degraded : str or None
        simpler_model or safe_model, where guards left no candidate.
    cached_answer : str or None
        Key of a cached answer that may be served in its place.
    killed : bool
        Whether the kill-switch decided.
    retry_delays_ms : tuple of float
        How many retries the request may have at most, and how long to wait before each, ms.
    fallback_steps : tuple of Step
    tried : tuple of str
        The models of the attempts before this one, in order.
    delay_ms : float
        How long to wait before this attempt, ms.
    decided_at : float
        Unix time of the first attempt's decision, s.
    out_of_scope : float or None
        Share of the requests learned from that were less unlike the others, 0..1; None where it is not told.
    p_hallucinated : float or None
        Believed probability that the model's response is hallucinated, 0..1; None where it is not told.
    """

    model: str
    intent: str | None
    tier: int
    confidence: float | None
    p_useful: float | None
    fallbacks: tuple[str, ...]
    timeout_ms: float | None
    reason: str
    request_id: str = field(default="", compare=False)
    version: str = ""
    modality: str = "text"
    context_tokens: int = 0
    propensity: float | None = 1.0
    explored: bool = False
    expected_cost_usd: float | None = field(default=None, compare=False)
    barred: Mapping[str, str] = field(default_factory=dict, hash=False)
    degraded: str | None = None
    cached_answer: str | None = None
    killed: bool = False
    retry_delays_ms: tuple[float, ...] = field(default=(), compare=False)
    fallback_steps: tuple[Step, ...] = field(default=(), compare=False)
    tried: tuple[str, ...] = field(default=(), compare=False)
    delay_ms: float = field(default=0.0, compare=False)
    decided_at: float = field(default=0.0, compare=False)
    out_of_scope: float | None = field(default=None, compare=False)
    p_hallucinated: float | None = field(default=None, compare=False)

    @property
    def attempt(self) -> int:
        """0 for the first, then one for each retry or fallback."""
        return len(self.tried)

    @property
    def retried(self) -> int:
        """How many of the attempts so far, this one included, asked the model of an earlier one again."""
        return len(self.tried) + 1 - len({*self.tried, self.model})

    @classmethod
    def told(cls, telling: Telling, at: int, values: Sequence[Any]) -> Decision:
        """Build a decision whose fields of `LATER` are told when they are first read.

        Parameters
        ----------
        telling : Telling
        at : int
            Its position there.
        values : sequence
            Of the other fields, in order (`NOW`).
        """
        found = cls.__new__(cls)
        for setter, value in zip(_SETTERS, ((telling, at), *values), strict=True):
            setter(found, value)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the decision as plain JSON values."""
        found = {name: getattr(self, name) for name in _NAMES}
        for name in ("fallbacks", "retry_delays_ms", "tried"):
            found[name] = list(found[name])
        found["barred"] = dict(self.barred)
        found["fallback_steps"] = [
            {"model": step.model, "failures": list(step.failures), "within_ms": step.within_ms}
            for step in self.fallback_steps
        ]
        return found

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Decision:
        """Build a decision from what `to_dict` gave.

        Raises
        ------
        PointsmanError
            Where it is not in that form.
        """
        if not isinstance(document, Mapping):
            raise PointsmanError(f"decision: a JSON object is needed, got {type(document).__name__}")
        found = dict(document)
        for name in found:
            if name not in _KINDS:
                raise PointsmanError(f"decision: unknown key {str(name)[:80]!r}; allowed: {', '.join(_NAMES)}")
        for name, kinds in _KINDS.items():
            if name not in found:
                if name in _NEEDED:
                    raise PointsmanError(f"decision: {name} is missing")
                continue
            value = found[name]
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                words = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
                raise PointsmanError(f"decision: {name} is {str(value)[:80]!r}; {words} is needed")
        try:
            for name in ("fallbacks", "retry_delays_ms", "tried"):
                if name in found:
                    found[name] = tuple(found[name])
            if "fallback_steps" in found:
                found["fallback_steps"] = tuple(
                    Step(one["model"], tuple(one["failures"]), one["within_ms"]) for one in found["fallback_steps"]
                )
        except (KeyError, TypeError, AttributeError) as error:
            raise PointsmanError("decision: fallback_steps is not a list of model, failures, within_ms") from error
        return cls(**found)


_FALLBACKS = ("fallbacks", "retry_delays_ms", "fallback_steps")
LATER = frozenset(
    ("confidence", "p_useful", "reason", "expected_cost_usd", "out_of_scope", "p_hallucinated", *_FALLBACKS)
)
"""Fields that may be told when they are first read."""
_NAMES = tuple(one.name for one in fields(Decision))
NOW = tuple(name for name in _NAMES if name not in LATER)
_SETTERS = tuple(getattr(Decision, name).__set__ for name in ("_telling", *NOW))  # past the frozen __setattr__
_NEEDED = frozenset(("model", "intent", "tier", "confidence", "p_useful", "fallbacks", "timeout_ms", "reason"))
_NUMBER, _TEXT, _NONE, _LIST = (int, float), (str,), (type(None),), (list, tuple)
_KINDS: dict[str, tuple[type, ...]] = {
    "model": _TEXT,
    "intent": _TEXT + _NONE,
    "tier": (int,),
    "confidence": _NUMBER + _NONE,
    "p_useful": _NUMBER + _NONE,
    "fallbacks": _LIST,
    "timeout_ms": _NUMBER + _NONE,
    "reason": _TEXT,
    "request_id": _TEXT,
    "version": _TEXT,
    "modality": _TEXT,
    "context_tokens": (int,),
    "propensity": _NUMBER + _NONE,
    "explored": (bool,),
    "expected_cost_usd": _NUMBER + _NONE,
    "barred": (dict,),
    "degraded": _TEXT + _NONE,
    "cached_answer": _TEXT + _NONE,
    "killed": (bool,),
    "retry_delays_ms": _LIST,
    "fallback_steps": _LIST,
    "tried": _LIST,
    "delay_ms": _NUMBER,
    "decided_at": _NUMBER,
    "out_of_scope": _NUMBER + _NONE,
    "p_hallucinated": _NUMBER + _NONE,
}
