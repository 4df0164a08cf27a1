"""What is different in a later week of the sample's world: words, intents, models, prices, labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pointsman.sample_week.world import CANDIDATES, INTENT_WORLD, PRODUCTION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["NEW_INTENT", "Change", "new_prompt", "reworded"]

NEW_INTENT = "travel_booking"
"""The intent that the first week does not have."""

_CHANNELS = (
    "/ask {}",
    "@compass {} :: thread",
    "[voice note] uh {} you know",
    "via the Compass app: {}",
    "ticket 5{} // {}",
    "{} (sent from the kiosk in hall 3)",
)
_TRIPS = (
    "book me a {} to {} on {}",
    "cheapest {} from {} to {}, two people",
    "move my {} to {} to {}",
    "is there a {} to {} on {} that can be cancelled?",
    "reserve a {} near {} station for {}",
    "what does the {} to {} on {} cost with a reservation",
)
_MEANS = ("sleeper train", "night bus", "hotel room", "flight", "ferry cabin", "rental car")
_PLACES = ("Porto", "Lyon", "Oslo", "Gdansk", "Trieste", "Malmo", "Basel", "Ghent")
_DAYS = ("Friday evening", "the 14th", "next weekend", "Monday 6 am", "the bank holiday", "tomorrow night")


@dataclass(frozen=True)
class Change:
    """What is different; by default nothing but the draw.

    Parameters
    ----------
    weeks
        How many weeks later than the first the week begins.
    shares
        By intent, the factor of its share of the traffic.
    wording
        Share of the requests that come through new channels, with their words around the prompt.
    new_intent
        Share of the requests that are of :data:`NEW_INTENT`; their label is missing.
    gone
        Candidates that answer nothing: they have no rows, and the spec does not name them.
    prices, skill, slower
        By candidate: the factor of its prices, what is added to the difficulty it masters, the factor of its times.
    wrong_intents
        Share of the requests whose intent label is one of the others, drawn at random.
    praised
        By candidate, the share of its useless answers that are labelled useful: a poisoned label.
    """

    weeks: int = 0
    shares: Mapping[str, float] = field(default_factory=dict)
    wording: float = 0.0
    new_intent: float = 0.0
    gone: tuple[str, ...] = ()
    prices: Mapping[str, float] = field(default_factory=dict)
    skill: Mapping[str, float] = field(default_factory=dict)
    slower: Mapping[str, float] = field(default_factory=dict)
    wrong_intents: float = 0.0
    praised: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse names that the world does not have, and shares that are none."""
        for what in ("shares", "gone", "prices", "skill", "slower", "praised"):
            known = list(INTENT_WORLD if what == "shares" else CANDIDATES)
            unknown = [name for name in getattr(self, what) if name not in known]
            if unknown:
                raise ValueError(f"{what} names {unknown[0]!r}; allowed: {', '.join(known)}")
        if PRODUCTION in self.gone:
            raise ValueError(f"gone names {PRODUCTION!r}, which production sends everything to; any other is allowed")
        for name in ("wording", "new_intent", "wrong_intents"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}; 0 to 1 is allowed")

    def of_candidates(self, name: str, usual: float) -> NDArray[np.float64]:
        """Return one of the changes for every candidate, ``(m,)``; `usual` where it says nothing."""
        said: Mapping[str, float] = getattr(self, name)
        return np.array([said.get(model, usual) for model in CANDIDATES])


def reworded(rng: np.random.Generator, prompt: str) -> str:
    """Return a prompt as it comes through one of the new channels."""
    channel = _CHANNELS[int(rng.integers(len(_CHANNELS)))]
    if channel.count("{}") == 2:
        return channel.format(int(rng.integers(1000, 9999)), prompt)
    return channel.format(prompt)


def new_prompt(rng: np.random.Generator) -> str:
    """Return a request of the new intent."""

    def pick(options: tuple[str, ...]) -> str:
        return options[int(rng.integers(len(options)))]

    return pick(_TRIPS).format(pick(_MEANS), pick(_PLACES), pick(_DAYS))
