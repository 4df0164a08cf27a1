"""The guards of a routing spec: the short forms and the detailed ones, and the settings that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from pointsman.documents import Number, Share, Strict, described
from pointsman.guards.settings import GuardSettings, spelt_out

__all__ = ["Guards"]

Span = Annotated[Number, Field(ge=1, le=86_400)]
Rate = Annotated[Number, Field(ge=0.01, le=1)]
Usd = Annotated[Number, Field(ge=1e-6, le=1e12)]
Wait = Annotated[Number, Field(ge=0, le=600_000)]


class RetrySpec(Strict):
    """Retries in detail; see `pointsman.guards.settings.Retry`."""

    max_retries: Annotated[int, Field(strict=True, ge=0, le=20)] = described("a whole number from 0 to 20", 3)
    base_ms: Wait = described("a number from 0 to 600000", 250.0)
    cap_ms: Wait = described("a number from 0 to 600000", 8_000.0)
    budget_share: Share = described("a number from 0 to 1", 0.2)
    budget_floor: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = described(
        "a whole number from 0 to 1000000", 10
    )
    window_s: Span = described("a number from 1 to 86400", 60.0)
    failures: list[Literal["timeout", "error"]] = described("a list of timeout, error", ["error"])


class BreakerSpec(Strict):
    """The breaker of every model; see `pointsman.guards.settings.Breaker`."""

    error_rate: Rate | None = described("a number from 0.01 to 1")
    late_rate: Rate | None = described("a number from 0.01 to 1")
    late_ms: Annotated[Number, Field(ge=1, le=86_400_000)] | None = described("a number from 1 to 86400000")
    cost_ratio: Annotated[Number, Field(ge=1, le=1_000_000)] | None = described("a number from 1 to 1000000")
    window_s: Span = described("a number from 1 to 86400", 60.0)
    min_requests: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = described(
        "a whole number from 1 to 1000000", 20
    )
    open_s: Annotated[Number, Field(ge=0.001, le=86_400)] = described("a number from 0.001 to 86400", 30.0)
    half_open_probes: Annotated[int, Field(strict=True, ge=1, le=1_000)] = described("a whole number from 1 to 1000", 3)


class BudgetSpec(Strict):
    """What may be spent; see `pointsman.guards.settings.Budget`."""

    usd_per_minute: Usd | None = described("a number from 0.000001 to 1000000000000")
    usd_per_hour: Usd | None = described("a number from 0.000001 to 1000000000000")
    usd_per_day: Usd | None = described("a number from 0.000001 to 1000000000000")
    soft_share: Share = described("a number from 0 to 1", 0.8)


def _is_detailed(value: Any) -> str:
    return "detailed" if isinstance(value, Mapping | RetrySpec) else "named"


class Guards(Strict):
    """What the gateway does when things go wrong; carried in the policy."""

    retry_policy: (
        Annotated[
            Annotated[Literal["none", "exponential_backoff"], Tag("named")] | Annotated[RetrySpec, Tag("detailed")],
            Discriminator(_is_detailed),
        ]
        | None
    ) = described(f"none, exponential_backoff, or a mapping with the keys {', '.join(RetrySpec.model_fields)}")
    breaker: BreakerSpec | None = described(None)
    budget: BudgetSpec | None = described(None)
    budget_usd_per_day: Usd | None = described("a number from 0.000001 to 1000000000000")
    cached_answer: str | None = described("a text")
    simpler_model: str | None = described("the name of a candidate")
    exploration_share: Share | None = described("a number from 0 to 1")
    lease_ms: Annotated[Number, Field(ge=1, le=86_400_000)] | None = described("a number from 1 to 86400000")

    @property
    def settings(self) -> GuardSettings:
        """The typed settings that the policy carries."""
        return spelt_out(self.model_dump(exclude_unset=True, exclude_none=True))
