"""Prompts with expected routes: unit tests of a bundle that a user writes and keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.audit.check import Check
from pointsman.audit.finding import Measure, Place
from pointsman.audit.routed import route_all
from pointsman.decide import can_take
from pointsman.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pointsman.audit.finding import Finding
    from pointsman.audit.prompt_files import PromptCase
    from pointsman.audit.routed import Read
    from pointsman.policy import Policy

__all__ = ["UNEXPECTED", "route_findings"]

_TOLD = 5

UNEXPECTED = Check(
    "unexpected-route",
    "bundle",
    "A prompt goes where its set says it must not",
    "Somebody wrote down what must hold; a new bundle breaks it.",
    "Each case of --prompts is routed without guards, and every expectation of it is held against the decision.",
    "one case",
    "Look at the decision with pointsman explain; pin the intent (rules.intents), or correct the case.",
    "Ribeiro et al. 2020, CheckList (ACL): minimum functionality tests",
)


def route_findings(read: Read, policy: Policy, cases: Sequence[PromptCase], source: str) -> Iterator[Finding]:
    """Yield one finding for all cases of a set that are not routed as expected.

    Raises
    ------
    ConfigError
        Where a case names an intent or a model that the policy does not have.
    """
    _known(policy, cases, source)
    routed = route_all(
        read,
        policy,
        [case.prompt for case in cases],
        [case.modality for case in cases],
        [case.context_tokens for case in cases],
    )
    place = {case.id: at for at, case in enumerate(cases)}
    able = can_take(routed.facts, policy)
    broken = []
    for at, case in enumerate(cases):
        column = int(routed.model[at])
        name, intent = policy.models[column], policy.intents[routed.beliefs.intent[at]]
        named = [key for key in ("same_as", "not_dearer_than") if key in case.expect]
        of = {key: routed.model[place[case.expect[key]]] for key in named}
        held = {
            "intent": intent in _several(case.expect.get("intent")),
            "model": name in _several(case.expect.get("model")),
            "not_model": name not in _several(case.expect.get("not_model")),
            "same_as": column == of.get("same_as"),
            "not_dearer_than": column <= of.get("not_dearer_than", column),
            "able": bool(able[column, at]) == (str(case.expect.get("able")).lower() == "true"),
        }
        for key, wanted in case.expect.items():
            if not held[key]:
                broken.append(f"{case.id}: {key} {wanted} expected; it is {intent} and goes to {name}")
    if broken:
        checked = sum(len(case.expect) for case in cases)
        yield UNEXPECTED.found(
            "high",
            f"{len(broken)} of {checked} expectations are not met",
            Place(source, None, broken[0].partition(":")[0]),
            [Measure("not met", len(broken) / checked, unit="share"), Measure("cases", len(cases))],
            [*broken[:_TOLD], *([f"and {len(broken) - _TOLD} more"] if len(broken) > _TOLD else [])],
        )


def _several(value: Any) -> tuple[str, ...]:
    return () if value is None else tuple(map(str, value)) if isinstance(value, list) else (str(value),)


def _known(policy: Policy, cases: Sequence[PromptCase], source: str) -> None:
    for case in cases:
        for key, names in (("intent", policy.intents), ("model", policy.models), ("not_model", policy.models)):
            for one in _several(case.expect.get(key)):
                if one not in names:
                    raise ConfigError(f"{source}, case {case.id}: expect.{key} is {one!r}; allowed: {', '.join(names)}")
    if not np.any([bool(case.expect) for case in cases]):
        raise ConfigError(f"{source}: no case expects anything; give expect, an object, in at least one")
