"""Prompts routed by a policy without guards: what the bundle itself says, by the same `decide` as everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pointsman.decide import Beliefs, Facts, Reading, believe, blend, decide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointsman.policy import Policy

__all__ = ["Read", "Routed", "route_all"]

Read = Callable[[Sequence[str]], Reading]
"""What a bundle's classifier reads in prompts."""


@dataclass(frozen=True, eq=False)
class Routed:
    """n prompts and where they go.

    Attributes
    ----------
    beliefs, facts : Beliefs, Facts
    model : (n,) int array
        Position of the candidate.
    useful : (m, n) float array
        Believed P(useful), as the rule blends it.
    policy : Policy
    """

    beliefs: Beliefs
    facts: Facts
    model: NDArray[np.intp]
    useful: NDArray[np.floating]
    policy: Policy

    @property
    def cost_usd(self) -> NDArray[np.float64]:
        """Expected cost of each prompt where it goes, (n,) USD."""
        return np.asarray(self.beliefs.cost_usd[self.model, np.arange(len(self.model))], dtype=np.float64)


def route_all(
    read: Read,
    policy: Policy,
    prompts: Sequence[str],
    modality: Sequence[str] | str = "text",
    context_tokens: Sequence[int] | int = 0,
) -> Routed:
    """Route prompts by a policy, without guards."""
    facts = Facts.of([len(prompt) for prompt in prompts], modality, context_tokens)
    beliefs = believe(read(prompts), facts, policy)
    return Routed(beliefs, facts, decide(beliefs, policy.rule), np.asarray(blend(beliefs, policy.rule)), policy)
