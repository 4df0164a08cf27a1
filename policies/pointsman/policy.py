"""The policy: what was learned, as a file that a person can read and any gateway can execute.

Standard library and numpy only: the router loads it. ``policy.schema.json`` beside this module is its JSON Schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pointsman.errors import BundleError
from pointsman.expected import Expected
from pointsman.guards.settings import GuardSettings
from pointsman.rules import Rule, rule_from_dict
from pointsman.values import count, exactly, items, limit, members, names, no_number, number, text, texts

if TYPE_CHECKING:
    from collections.abc import Iterable


__all__ = ["MODALITIES", "POLICY_VERSION", "Candidate", "Expected", "Fallback", "Policy", "Text"]

POLICY_VERSION = 1
MODALITIES = ("text", "image", "audio")


@dataclass(frozen=True)
class Candidate:
    """A model that requests can go to.

    Attributes
    ----------
    name : str
        As the gateway knows it.
    input_usd_per_mtok, output_usd_per_mtok : float or None
        Price per million tokens, USD; None where the traces carry the cost themselves.
    modalities : tuple of str
        What it can take: text, image, audio.
    context_window : int or None
        Tokens it can read; None for no known limit.
    timeout_ms : float or None
        After this many ms the answer counts as failed; None for no limit.
    concurrency : int or None
        Requests it may serve at once; None for no known limit.
    """

    name: str
    input_usd_per_mtok: float | None = None
    output_usd_per_mtok: float | None = None
    modalities: tuple[str, ...] = ("text",)
    context_window: int | None = None
    timeout_ms: float | None = None
    concurrency: int | None = None


@dataclass(frozen=True)
class Fallback:
    """Where a request goes when the model it was sent to failed.

    Attributes
    ----------
    model : str
        The candidate to try next.
    when : tuple of str
        Intents, modalities, ``long_context``, ``timeout`` or ``error``; empty for always. Several intents,
        modalities or ``long_context`` are alternatives; so are ``timeout`` and ``error``.
    cost_threshold_ms : float or None
        Tried only while the request has been under way for less than this many ms.
    """

    model: str
    when: tuple[str, ...] = ()
    cost_threshold_ms: float | None = None

    @property
    def failures(self) -> tuple[str, ...]:
        """The kinds of failure it serves; empty for all."""
        return tuple(word for word in self.when if word in {"timeout", "error"})

    @property
    def requests(self) -> tuple[str, ...]:
        """The kinds of request it serves; empty for all."""
        return tuple(word for word in self.when if word not in {"timeout", "error"})


@dataclass(frozen=True)
class Text:
    """How a prompt is cut before the classifier reads it (see `pointsman.text.Clip`)."""

    head_chars: int = 400
    tail_chars: int = 200


@dataclass(frozen=True, eq=False)
class Policy:
    """A routing policy.

    Attributes
    ----------
    intents : tuple of str
        Order of the columns of ``intent_probs``.
    candidates : tuple of Candidate
        Order of the columns of ``useful_probs``: from cheap to dear by mean full cost.
    rule : Rule
        The learned thresholds.
    expected : Expected
        Per intent and candidate.
    safe_model : str
        Where the kill-switch sends everything, and where a request goes that no candidate can take.
    pinned_intents, pinned_modalities : mapping of str to str
        Fixed rules: the intent or modality always goes to that candidate.
    fallbacks : tuple of Fallback
        In the order in which they are tried.
    long_context_tokens : int
        A request with more tokens than this counts as ``long_context``.
    long_context : str or None
        Fixed rule: requests that long always go to that candidate, unless a pin sends them elsewhere.
    guards : GuardSettings
        Retries, breaker, budget, cached or simpler answers, exploration: executed by the router.
    text : Text
        How prompts are cut.
    evidence : mapping
        Before and after on traces the search never saw, with intervals; what was tuned, on how much.
    """

    intents: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    rule: Rule
    expected: Expected
    safe_model: str
    pinned_intents: Mapping[str, str] = field(default_factory=dict)
    pinned_modalities: Mapping[str, str] = field(default_factory=dict)
    fallbacks: tuple[Fallback, ...] = ()
    long_context_tokens: int = 8000
    long_context: str | None = None
    guards: GuardSettings = field(default_factory=GuardSettings)
    text: Text = field(default_factory=Text)
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a policy that contradicts itself."""
        shape = (len(self.intents), len(self.candidates))
        if 0 in shape:
            raise BundleError("policy: at least one intent and one candidate are needed")
        self.expected.check(*shape)
        _distinct(self.intents, "intents")
        _distinct(self.models, "candidates")
        known = set(self.models)
        named = {"safe_model": self.safe_model}
        named |= {f"pinned_intents.{intent}": model for intent, model in self.pinned_intents.items()}
        named |= {f"pinned_modalities.{modality}": model for modality, model in self.pinned_modalities.items()}
        if self.long_context is not None:
            named["long_context"] = self.long_context
        named |= {f"fallbacks[{index}].model": fallback.model for index, fallback in enumerate(self.fallbacks)}
        for key, model in named.items():
            if model not in known:
                raise BundleError(f"policy: {key} is {model!r}; allowed: {', '.join(self.models)}")
        for modality in self.pinned_modalities:
            if modality not in MODALITIES:
                raise BundleError(f"policy: pinned_modalities names {modality!r}; allowed: {', '.join(MODALITIES)}")
        for intent in self.pinned_intents:
            if intent not in self.intents:
                raise BundleError(f"policy: pinned_intents names {intent!r}; allowed: {', '.join(self.intents)}")
        self.rule.check(self.models, self.intents)
        self.guards.check(self.models)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the candidates, cheap to dear."""
        return tuple(candidate.name for candidate in self.candidates)

    def to_dict(self) -> dict[str, Any]:
        """Return the policy as plain JSON values."""
        candidates = [
            {key: list(value) if isinstance(value, tuple) else value for key, value in vars(candidate).items()}
            for candidate in self.candidates
        ]
        fallbacks = [{**vars(fallback), "when": list(fallback.when)} for fallback in self.fallbacks]
        return {
            "policy_version": POLICY_VERSION,
            "intents": list(self.intents),
            "candidates": candidates,
            "rule": self.rule.to_dict(),
            "expected": self.expected.to_dict(),
            "safe_model": self.safe_model,
            "pinned_intents": dict(self.pinned_intents),
            "pinned_modalities": dict(self.pinned_modalities),
            "fallbacks": fallbacks,
            "long_context_tokens": self.long_context_tokens,
            "long_context": self.long_context,
            "guards": self.guards.to_dict(),
            "text": vars(self.text).copy(),
            "evidence": dict(self.evidence),
        }

    def to_json(self) -> str:
        """Return the policy as an indented JSON text, tables one row a line."""
        parts = {key: json.dumps(value, indent=2, allow_nan=False) for key, value in self.to_dict().items()}
        tables = [
            f'  "{name}": [\n    ' + ",\n    ".join(json.dumps(row) for row in values.tolist()) + "\n  ]"
            for name, values in self.expected.tables.items()
        ]
        tables.append(f'  "lengths": {json.dumps(self.expected.to_dict()["lengths"], indent=2)}'.replace("\n", "\n  "))
        parts["expected"] = "{\n" + ",\n".join(tables) + "\n}"
        lines = ",\n".join(f'"{key}": {part}' for key, part in parts.items())
        return "{\n  " + lines.replace("\n", "\n  ") + "\n}\n"

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Policy:
        """Build a policy from plain JSON values.

        Raises
        ------
        BundleError
            Where a key is missing or unknown, a value is of the wrong type, or names do not fit each other.
        """
        if not isinstance(document, Mapping):
            raise BundleError(f"policy: a JSON object is needed, got {type(document).__name__}")
        version = document.get("policy_version")
        if version != POLICY_VERSION or isinstance(version, bool):
            raise BundleError(f"policy: policy_version is {version!r}; this release reads {POLICY_VERSION}")
        unknown = set(document) - set(_KEYS)
        if unknown:
            raise BundleError(f"policy: unknown key {sorted(unknown)[0]!r}; allowed: {', '.join(_KEYS)}")
        absent = [key for key in _KEYS if key not in document]
        if absent:
            raise BundleError(f"policy: key {absent[0]!r} is missing")
        try:
            return cls(
                intents=texts(document["intents"], "intents"),
                candidates=tuple(_candidate(entry) for entry in items(document["candidates"], "candidates")),
                rule=rule_from_dict(document["rule"]),
                expected=Expected.from_value(document["expected"], "expected"),
                safe_model=text(document["safe_model"], "safe_model"),
                pinned_intents=names(document["pinned_intents"], "pinned_intents"),
                pinned_modalities=names(document["pinned_modalities"], "pinned_modalities"),
                fallbacks=tuple(_fallback(entry) for entry in items(document["fallbacks"], "fallbacks")),
                long_context_tokens=count(document["long_context_tokens"], "long_context_tokens"),
                long_context=None
                if document["long_context"] is None
                else text(document["long_context"], "long_context"),
                guards=GuardSettings.from_value(document["guards"]),
                text=Text(**exactly(document["text"], "text", head_chars=count, tail_chars=count)),
                evidence=members(document["evidence"], "evidence"),
            )
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise BundleError(f"policy: not in the form of policy.schema.json: {error}") from error

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Build a policy from a JSON text; see `from_dict` for what is raised."""
        try:
            document = json.loads(text, parse_constant=no_number)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"policy: not JSON: {error}") from error
        return cls.from_dict(document)


_KEYS = (
    "policy_version",
    "intents",
    "candidates",
    "rule",
    "expected",
    "safe_model",
    "pinned_intents",
    "pinned_modalities",
    "fallbacks",
    "long_context_tokens",
    "long_context",
    "guards",
    "text",
    "evidence",
)


def _distinct(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BundleError(f"policy: {what} names {name!r} twice")
        seen.add(name)


def _modalities(value: Any, key: str) -> tuple[str, ...]:
    modalities = texts(value, key)
    for modality in modalities:
        if modality not in MODALITIES:
            raise BundleError(f"policy: {key} has {modality!r}; allowed: {', '.join(MODALITIES)}")
    if not modalities:
        raise BundleError(f"policy: {key} is empty; allowed: {', '.join(MODALITIES)}")
    return modalities


def _candidate(entry: Any) -> Candidate:
    values = exactly(
        entry,
        "candidates[]",
        name=text,
        input_usd_per_mtok=number,
        output_usd_per_mtok=number,
        modalities=_modalities,
        context_window=limit,
        timeout_ms=number,
        concurrency=limit,
    )
    return Candidate(**values)


def _fallback(entry: Any) -> Fallback:
    return Fallback(**exactly(entry, "fallbacks[]", model=text, when=texts, cost_threshold_ms=number))
