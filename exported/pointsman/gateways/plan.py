"""What a policy comes to where no classifier reads the prompt: a candidate for each intent, and what follows it.

Gateways that route by rules of their own get this much of a policy. Standard library and numpy only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.decide import Facts, Reading, believe, decide

if TYPE_CHECKING:
    from pointsman.policy import Policy

__all__ = ["followers", "model_by_intent", "model_for", "unrouted"]


def model_by_intent(policy: Policy) -> dict[str, str]:
    """Return where a text request goes that is certainly of each intent, and else typical of it."""
    return {intent: model_for(policy, intent) for intent in policy.intents}


def model_for(policy: Policy, intent: str, modality: str = "text", tokens: int | None = None) -> str:
    """Return where a request goes that is certainly of an intent, and else typical of it.

    Parameters
    ----------
    policy : Policy
    intent, modality : str
    tokens : int, optional
        To read; the intent's mean where not given and known.
    """
    row = policy.intents.index(intent)
    expected = policy.expected
    lengths = expected.lengths
    if tokens is None:
        tokens = 0 if lengths is None else round(float(lengths.tokens_in[row]))
    sure = np.zeros((1, len(policy.intents)), dtype=np.float32)
    sure[0, row] = 1
    answers: Any = None if lengths is None else lengths.output_tokens[row : row + 1]
    reading = Reading(sure, expected.useful[row : row + 1].astype(np.float32), answers)
    beliefs = believe(reading, Facts.of(0, modality, tokens), policy)
    return policy.models[int(decide(beliefs, policy.rule)[0])]


def followers(policy: Policy, model: str, *words: str, failure: str | None = None) -> tuple[str, ...]:
    """Return the candidates to try after one, in order, each once.

    Parameters
    ----------
    policy : Policy
    model : str
        The first.
    *words : str
        What is known of the request: its intent, its modality (text where none is named), ``long_context``.
    failure : str, optional
        timeout or error; where not given, what serves any of them counts.
    """
    known = {*words} if any(word in {"text", "image", "audio"} for word in words) else {*words, "text"}
    able = {one.name for one in policy.candidates if all(word in one.modalities for word in known & {"image", "audio"})}
    found = dict.fromkeys(
        one.model
        for one in policy.fallbacks
        if (not one.requests or known & {*one.requests})
        and (failure is None or not one.failures or failure in one.failures)
    )
    return tuple(name for name in found if name != model and name in able)


def unrouted(policy: Policy) -> list[str]:
    """Return what no gateway's own rules express of a policy, one sentence each."""
    rule, guards = policy.rule, policy.guards
    lines = [
        f"rule ({rule.kind}): the classifier and its learned thresholds; pointsman must tell the intent or the model"
    ]
    if rule.abstain is not None:
        lines.append(
            f"rule.abstain: a request whose intent is less than {rule.abstain.below_confidence:g} probable goes to "
            f"{rule.abstain.model}"
        )
        if rule.abstain.above_out_of_scope is not None:
            lines.append(
                f"rule.abstain: a request more unlike the traces than {rule.abstain.above_out_of_scope:.4g} of them "
                f"goes to {rule.abstain.model}"
            )
    if guards.exploration_share:
        lines.append(f"guards.exploration_share: {guards.exploration_share:g} of the requests go to a drawn candidate")
    lines += [
        f"guards.budget.usd_per_{name}: {usd:g}, with dear candidates throttled from {guards.budget.soft_share:g} of it"
        for name, _, _, usd in guards.budget.limits
    ]
    breaker = guards.breaker
    if breaker.late_rate is not None:
        lines.append(f"guards.breaker.late_rate: a model rests where {breaker.late_rate:g} of its answers are late")
    if breaker.cost_ratio is not None:
        ratio = f"{breaker.cost_ratio:g} times what was expected"
        lines.append(f"guards.breaker.cost_ratio: a model rests where its answers cost {ratio}")
    if guards.cached_answer is not None:
        lines.append(f"guards.cached_answer: the answer {guards.cached_answer} where guards leave no candidate")
    if guards.simpler_model is not None:
        lines.append(f"guards.simpler_model: {guards.simpler_model} where guards leave no candidate")
    lines += [
        f"fallbacks[{index}].cost_threshold_ms: {one.model} only in the first {one.cost_threshold_ms:g} ms"
        for index, one in enumerate(policy.fallbacks)
        if one.cost_threshold_ms is not None
    ]
    lines.append("the kill-switch: throw it where pointsman runs")
    return lines
