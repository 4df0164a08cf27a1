"""The gate: what must hold before a challenger takes the champion's place. A pure function of what was measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pointsman.spec import Promotion

__all__ = ["Condition", "Gate", "gate", "label_conditions"]

SUSPICION = 0.1
"""An intent that seems to lose more than its margin stops a promotion at this p, unadjusted: better too often."""


@dataclass(frozen=True)
class Condition:
    """One condition of the gate.

    Attributes
    ----------
    name : str
        gain, useful, intents, constraints, certificate, tellable, label_jump or label_noise.
    holds : bool
    text : str
        What was measured, and what is asked.
    """

    name: str
    holds: bool
    text: str


@dataclass(frozen=True)
class Gate:
    """Whether the challenger may take over, and why.

    Attributes
    ----------
    conditions : tuple of Condition
    """

    conditions: tuple[Condition, ...]

    @property
    def holds(self) -> bool:
        """Every condition holds."""
        return all(one.holds for one in self.conditions)

    @property
    def reasons(self) -> list[str]:
        """Texts of the conditions that do not hold."""
        return [one.text for one in self.conditions if not one.holds]

    def to_dict(self) -> dict[str, Any]:
        """Return the gate as plain JSON values."""
        return {"holds": self.holds, "conditions": [asdict(one) for one in self.conditions]}


def gate(
    report: Mapping[str, Any],
    promotion: Promotion,
    *,
    certified: bool,
    champion: str,
    labels: Sequence[Condition] = (),
) -> Gate:
    """Judge a comparison of champion and challenger on requests that neither has seen.

    A challenger must gain: its net value of a request is proven above the champion's by `min_gain_usd`; where no price
    of a useful answer is known, it is proven cheaper or more useful. There is one way round the gain: a champion whose
    constraints are refuted on fresh data gives way to a challenger that is certified.

    Parameters
    ----------
    report : mapping
        See `pointsman.comparison.compare.compare_policies`, made at `promotion.confidence`.
    promotion : Promotion
    certified : bool
        Whether everything that the spec asks for is certified of the challenger.
    champion : str
        How the champion stands on fresh requests: holds, refuted, unproven or none.
    labels : sequence of Condition
        See `label_conditions`.
    """
    change, found = report["change"], []
    gained, text = _gain(change, promotion.min_gain_usd)
    rescue = champion == "refuted" and certified and report["stands"] != "same"
    if rescue and not gained:
        text += "; but the champion's constraints are refuted on fresh requests, and the challenger's are certified"
    found.append(Condition("gain", gained or rescue, text))
    useful = change["useful_rate"]
    low = float("-inf") if useful is None else float(useful["low"])
    held = low >= -promotion.useful_margin
    shown = "unknown" if useful is None else f"{100 * useful['difference']:+.2f} points, at least {100 * low:+.2f}"
    found.append(
        Condition("useful", held, f"useful rate {shown}; at least {-100 * promotion.useful_margin:+.2f} is asked")
    )
    found.append(_intents(report["intents"], promotion.intent_margin))
    broken = [one["name"] for one in report["constraints"] if one["verdict"] == "broken"]
    words = f"broken on the unseen requests: {', '.join(broken)}" if broken else "no constraint is broken"
    found.append(Condition("constraints", not broken, words))
    if promotion.certificate == "required":
        words = "the challenger is certified" if certified else "the challenger is not certified"
        found.append(Condition("certificate", certified, words))
    off_policy = report["off_policy"]
    if off_policy is not None:
        words = "the logs can tell" if off_policy["tellable"] else f"the logs cannot tell: {off_policy['reasons'][0]}"
        found.append(Condition("tellable", off_policy["tellable"], words))
    return Gate((*found, *labels))


def label_conditions(
    jumps: Mapping[str, float], noise: float | None, promotion: Promotion, confirmed: bool
) -> list[Condition]:
    """Judge the labels themselves: what they were made by may be broken, or poisoned, and every figure with it.

    Parameters
    ----------
    jumps : mapping of str to float
        By model, how far the labelled usefulness is from what the champion believes of the same prompts.
    noise : float or None
        Share of intent labels that are suspicious; None where that was not looked at.
    promotion : Promotion
    confirmed : bool
        A person has looked at the labels.
    """
    said = "; a person confirmed the labels" if confirmed else "; look at the labels, then confirm them"
    found = []
    if jumps:
        model = max(jumps, key=lambda name: abs(jumps[name]))
        jump = jumps[model]
        far = abs(jump) > promotion.label_jump
        text = (
            f"labelled usefulness of {model} moved by {100 * jump:+.1f} points, allowed {100 * promotion.label_jump:g}"
        )
        found.append(Condition("label_jump", confirmed or not far, text + (said if far else "")))
    if noise is not None:
        far = noise > promotion.label_noise
        text = f"{noise:.1%} of the intent labels are suspicious, allowed {promotion.label_noise:.0%}"
        found.append(Condition("label_noise", confirmed or not far, text + (said if far else "")))
    return found


def _gain(change: Mapping[str, Any], least: float) -> tuple[bool, str]:
    net = change.get("net_value_usd")
    if net is not None:
        per = 1_000
        text = f"net value of 1,000 requests {per * net['difference']:+.3f} USD, at least {per * net['low']:+.3f}"
        return net["low"] > least, f"{text}; more than {per * least:g} is asked"
    useful, cost = change["useful_rate"], change["cost_usd"]
    more, cheaper = useful is not None and useful["low"] > 0, cost is not None and cost["high"] < 0
    text = "proven more useful" if more else "proven cheaper" if cheaper else "proven neither more useful nor cheaper"
    return more or cheaper, f"{text} (no price of a useful answer is known)"


def _intents(entries: Sequence[Mapping[str, Any]], margin: float) -> Condition:
    lost = []
    for one in entries:
        gap = one["after"]["useful_rate"] - one["before"]["useful_rate"]
        if gap < -margin and one["p"] <= SUSPICION:
            lost.append(f"{one['intent']} {100 * gap:+.1f} points on {one['requests']:,}")
    if lost:
        return Condition("intents", False, f"intents that lose more than {100 * margin:g} points: {', '.join(lost)}")
    return Condition("intents", True, f"no intent seems to lose more than {100 * margin:g} points")
