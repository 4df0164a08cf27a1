"""Which bundle serves which request: the live one, a canary on a share; and which one only looks on (a shadow).

Never changes: a router that changes something swaps the whole, so that no batch sees half of a change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pointsman.errors import PointsmanError
from pointsman.guards.chance import uniform

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pointsman.decide import Facts
    from pointsman.decision import Decision
    from pointsman.decision_log import DecisionLog
    from pointsman.live import LiveBundle
    from pointsman.session import Prompt

__all__ = ["Rollout", "Trial", "compare"]


@dataclass(frozen=True, eq=False)
class Trial:
    """A second bundle and its share of the requests, 0..1, told by their ids."""

    live: LiveBundle
    share: float

    def takes(self, request_ids: Sequence[str], purpose: str) -> list[int]:
        """Return the positions of the requests that are its."""
        return [at for at, one in enumerate(request_ids) if uniform(one, purpose) < self.share]


@dataclass(frozen=True, eq=False)
class Rollout:
    """The bundles of a router.

    Attributes
    ----------
    live : LiveBundle
        Serves.
    previous : LiveBundle or None
        Served before it.
    canary, shadow : Trial or None
    """

    live: LiveBundle
    previous: LiveBundle | None = None
    canary: Trial | None = None
    shadow: Trial | None = None

    @property
    def alone(self) -> bool:
        """Whether the live bundle is the only one that is asked."""
        return self.canary is None and self.shadow is None

    def decide(
        self, prompts: Sequence[Prompt], facts: Facts, contexts: Sequence[int], request_ids: Sequence[str]
    ) -> list[Decision]:
        """Decide each request by the bundle whose it is."""
        theirs = [] if self.canary is None else self.canary.takes(request_ids, "canary")
        if self.canary is None or not theirs:
            return self.live.decide(prompts, facts, contexts, request_ids)
        ours = sorted(set(range(len(request_ids))) - set(theirs))
        found: dict[int, Decision] = {}
        for live, at in ((self.canary.live, theirs), (self.live, ours)):
            if at:
                part = live.decide(
                    [prompts[index] for index in at],
                    facts.take(at),
                    [contexts[index] for index in at],
                    [request_ids[index] for index in at],
                )
                found.update(zip(at, part, strict=True))
        return [found[at] for at in range(len(request_ids))]

    def beside(self, request_ids: Sequence[str]) -> Iterator[tuple[str, LiveBundle, list[int]]]:
        """Give who else is asked, about which requests: the shadow, and the live bundle where the canary served."""
        if self.shadow is not None and (at := self.shadow.takes(request_ids, "shadow")):
            yield "shadow", self.shadow.live, at
        if self.canary is not None and (at := self.canary.takes(request_ids, "canary")):
            yield "stable", self.live, at

    def of(self, decision: Decision) -> LiveBundle:
        """Return the bundle that made a decision; the live one where that is no longer held."""
        held = (self.live, self.previous, None if self.canary is None else self.canary.live)
        return next((one for one in held if one is not None and one.version == decision.version), self.live)

    def reloaded(self, live: LiveBundle) -> Rollout:
        """Return it with another live bundle."""
        return replace(self, live=live, previous=self.live)

    def rolled_back(self) -> Rollout:
        """Return it with the previous bundle live; raise PointsmanError where there is none."""
        if self.previous is None:
            raise PointsmanError("there is no previous bundle to roll back to")
        return replace(self, live=self.previous, previous=self.live)

    def status(self) -> dict[str, Any]:
        """Return versions and shares as plain JSON values."""

        def told(trial: Trial | None) -> dict[str, Any] | None:
            return None if trial is None else {"version": trial.live.version, "share": trial.share}

        return {
            "version": self.live.version,
            "bundle": self.live.bundle.name,
            "previous": None if self.previous is None else self.previous.version,
            "canary": told(self.canary),
            "shadow": told(self.shadow),
        }


def compare(
    role: str,
    live: LiveBundle,
    at: Sequence[int],
    prompts: Sequence[Prompt],
    facts: Facts,
    contexts: Sequence[int],
    request_ids: Sequence[str],
    log: DecisionLog | None,
) -> None:
    """Decide the requests at some positions by a bundle that serves none of them, and log what it says."""
    decisions = live.decide_alone(
        [prompts[index] for index in at],
        facts.take(list(at)),
        [contexts[index] for index in at],
        [request_ids[index] for index in at],
    )
    if log is not None:
        for decision in decisions:
            log.shadow(decision, role)
