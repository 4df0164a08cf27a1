"""What a policy says about failures, lateness and spending: typed, with units, defaults and ranges.

Standard library and numpy only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pointsman.errors import BundleError
from pointsman.values import items, members, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["FAILURES", "Breaker", "Budget", "GuardSettings", "Retry", "spelt_out"]

FAILURES = ("timeout", "error")
"""The kinds of failure that a retry or a fallback can be for."""


@dataclass(frozen=True)
class Retry:
    """Asking the same model again: exponential backoff with full jitter, bounded by a retry budget.

    The delay before the n-th retry is drawn evenly from 0 to ``min(cap_ms, base_ms * 2 ** (n - 1))`` (full jitter).

    Attributes
    ----------
    max_retries : int
        Retries of one request, over all its attempts, 0..20; 0 for none.
    base_ms, cap_ms : float
        ms.
    budget_share : float
        Retries may be this share of the requests of the window, 0..1,
    budget_floor : int
        and this many more, so that a quiet gateway may retry at all.
    window_s : float
        Length of that window, s.
    failures : tuple of str
        Which failures are retried: timeout, error.
    """

    max_retries: int = 0
    base_ms: float = 250.0
    cap_ms: float = 8_000.0
    budget_share: float = 0.2
    budget_floor: int = 10
    window_s: float = 60.0
    failures: tuple[str, ...] = ("error",)

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _whole(self, "retry", max_retries=(0, 20), budget_floor=(0, 1_000_000))
        _within(self, "retry", base_ms=(0, 600_000), cap_ms=(0, 600_000), budget_share=(0, 1), window_s=(1, 86_400))
        for failure in self.failures:
            if failure not in FAILURES:
                raise BundleError(f"policy: guards.retry.failures has {failure!r}; allowed: {', '.join(FAILURES)}")


@dataclass(frozen=True)
class Breaker:
    """When a model is left alone for a while: one state machine per model, the same numbers for all.

    Attributes
    ----------
    error_rate : float or None
        Opens when at least this share of the window's answers failed, 0..1; None for never.
    late_rate : float or None
        Opens when at least this share of them was late, 0..1; None for never.
    late_ms : float or None
        An answer later than this is late, ms; None for the candidate's own timeout.
    cost_ratio : float or None
        Opens when the window's answers cost more than this many times what was expected of them; None for never.
    window_s : float
        Length of the window, s.
    min_requests : int
        Answers in the window below which it stays closed.
    open_s : float
        How long it stays open before it is probed, s.
    half_open_probes : int
        Requests let through at once when half-open, per process; as many good answers in a row close it.
    """

    error_rate: float | None = None
    late_rate: float | None = None
    late_ms: float | None = None
    cost_ratio: float | None = None
    window_s: float = 60.0
    min_requests: int = 20
    open_s: float = 30.0
    half_open_probes: int = 3

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _within(self, "breaker", error_rate=(0.01, 1), late_rate=(0.01, 1), late_ms=(1, 86_400_000))
        _within(self, "breaker", cost_ratio=(1, 1e6), window_s=(1, 86_400), open_s=(0.001, 86_400))
        _whole(self, "breaker", min_requests=(1, 1_000_000), half_open_probes=(1, 1_000))

    @property
    def trips(self) -> bool:
        """Whether anything opens it."""
        return not (self.error_rate is None and self.late_rate is None and self.cost_ratio is None)


@dataclass(frozen=True)
class Budget:
    """What may be spent; dear candidates are throttled smoothly as it is used up, the cheapest never.

    Attributes
    ----------
    usd_per_minute, usd_per_hour : float or None
        Over the last minute and hour, USD; None for no limit.
    usd_per_day : float or None
        Over the calendar day, UTC, USD; None for no limit.
    soft_share : float
        Share of a limit, 0..1, from which dear candidates are throttled: with x going from 0 there to 1 at the limit,
        the dearest is barred with probability x, the next with x², then x³.
    """

    usd_per_minute: float | None = None
    usd_per_hour: float | None = None
    usd_per_day: float | None = None
    soft_share: float = 0.8

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _within(self, "budget", usd_per_minute=(1e-6, 1e12), usd_per_hour=(1e-6, 1e12), usd_per_day=(1e-6, 1e12))
        _within(self, "budget", soft_share=(0, 1))

    @property
    def limits(self) -> tuple[tuple[str, float, int, float], ...]:
        """The limits that are set: name, span in s, buckets of its window, USD; a day is one bucket."""
        spans = {"minute": (60.0, 12), "hour": (3600.0, 12), "day": (86400.0, 1)}
        found = {name: getattr(self, f"usd_per_{name}") for name in spans}
        return tuple((name, *spans[name], limit) for name, limit in found.items() if limit is not None)


@dataclass(frozen=True)
class GuardSettings:
    """All guards of a policy. The default guards nothing but the candidates' own concurrency.

    Attributes
    ----------
    retry : Retry
    breaker : Breaker
    budget : Budget
    cached_answer : str or None
        Key of a cached answer that the gateway may serve where guards leave no candidate.
    simpler_model : str or None
        The candidate that is then asked where it can take the request; None for the safe model.
    exploration_share : float
        Share of the requests, 0..1, that go to a candidate drawn evenly among those that may take them.
    lease_ms : float
        A request not reported after this long no longer counts as under way, ms; a candidate's timeout, where longer,
        is taken instead.
    """

    retry: Retry = field(default_factory=Retry)
    breaker: Breaker = field(default_factory=Breaker)
    budget: Budget = field(default_factory=Budget)
    cached_answer: str | None = None
    simpler_model: str | None = None
    exploration_share: float = 0.0
    lease_ms: float = 120_000.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _within(self, "", exploration_share=(0, 1), lease_ms=(1, 86_400_000))

    def check(self, models: Iterable[str]) -> None:
        """Raise BundleError where a model is named that is no candidate."""
        if self.simpler_model is not None and self.simpler_model not in (known := list(models)):
            raise BundleError(
                f"policy: guards.simpler_model is {self.simpler_model!r}; allowed: {', '.join(known)} or null"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, every key written out."""
        document = asdict(self)
        document["retry"]["failures"] = list(self.retry.failures)
        return document

    @classmethod
    def from_value(cls, value: Any, key: str = "guards") -> GuardSettings:
        """Read the settings from plain JSON values; what is left out has its default.

        Raises
        ------
        BundleError
            Where a key is unknown, or a value is of the wrong type or out of range.
        """
        parts: dict[str, Callable[[Any, str], Any]] = {
            "retry": lambda part, at: Retry(**_fields(part, at, Retry, failures=_failures)),
            "breaker": lambda part, at: Breaker(**_fields(part, at, Breaker)),
            "budget": lambda part, at: Budget(**_fields(part, at, Budget)),
            "cached_answer": _name,
            "simpler_model": _name,
        }
        return cls(**_fields(value, key, cls, **parts))


def _fields(value: Any, key: str, form: type, **readers: Callable[[Any, str], Any]) -> dict[str, Any]:
    """Return the members of an object whose keys are fields of a dataclass."""
    found = members(value, key)
    allowed = list(form.__dataclass_fields__)  # type: ignore[attr-defined]
    for name in found:
        if name not in allowed:
            raise BundleError(f"policy: {key} has the unknown key {name!r}; allowed: {', '.join(allowed)}")
    return {
        name: readers[name](part, f"{key}.{name}") if name in readers else _number(part) for name, part in found.items()
    }


def _number(value: Any) -> Any:
    """Return whole floats as they are: 3.0 is a number of requests too."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _failures(value: Any, key: str) -> tuple[str, ...]:
    return tuple(text(entry, f"{key}[]") for entry in items(value, key))


def _name(value: Any, key: str) -> str | None:
    return None if value is None else text(value, key)


def _key(part: str, name: str) -> str:
    return ".".join(filter(None, ("guards", part, name)))


def _within(settings: Any, part: str, **ranges: tuple[float, float]) -> None:
    """Raise BundleError where a number is none or out of range; None passes where the field's default is None."""
    for name, (low, high) in ranges.items():
        value, default = getattr(settings, name), type(settings).__dataclass_fields__[name].default
        if value is None and default is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            null = " or null" if default is None else ""
            raise BundleError(
                f"policy: {_key(part, name)} is {value!r}; a number from {low:g} to {high:g}{null} is needed"
            )
        object.__setattr__(settings, name, float(value))


def _whole(settings: Any, part: str, **ranges: tuple[int, int]) -> None:
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise BundleError(f"policy: {_key(part, name)} is {value!r}; a whole number from {low} to {high} is needed")


def spelt_out(short: Mapping[str, Any]) -> GuardSettings:
    """Return the settings that a spec's short forms stand for; see `pointsman.spec.Guards`.

    ``retry_policy: none`` or ``exponential_backoff`` (three retries) or a mapping of `Retry`'s fields; ``breaker`` and
    ``budget`` mappings of theirs; ``budget_usd_per_day`` for a budget of one number.
    """
    document = {name: value for name, value in short.items() if value is not None}
    retry = document.pop("retry_policy", "none")
    named: dict[str, Mapping[str, Any]] = {"none": {}, "exponential_backoff": {"max_retries": 3}}
    document["retry"] = named[retry] if isinstance(retry, str) else {"max_retries": 3, **retry}
    per_day = document.pop("budget_usd_per_day", None)
    if per_day is not None:
        document["budget"] = {**document.get("budget", {}), "usd_per_day": per_day}
    return GuardSettings.from_value(document)
