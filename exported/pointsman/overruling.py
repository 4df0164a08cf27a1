"""Overruling: what a person changes in a bundle's policy by hand, written down with who and when, and signed again.

A bundle whose files were edited in place does not load. Here the policy is changed, checked, its conformance vectors
are decided again, and the whole bundle is replaced at once. What was certified was another policy: that evidence is
put aside. Standard library and numpy only, beside what the router needs.
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.bundle import write_bundle
from pointsman.conformance import conformance_vectors
from pointsman.errors import BundleError
from pointsman.manifest import CARD, CONFORMANCE, MODEL, TOKENIZER
from pointsman.policy import Policy
from pointsman.router import Router

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pointsman.decide import Reading

__all__ = ["OVERRULABLE", "changed_policy", "overrule"]

OVERRULABLE = (
    "rule",
    "safe_model",
    "pinned_intents",
    "pinned_modalities",
    "fallbacks",
    "long_context_tokens",
    "long_context",
    "guards",
)
"""Keys of policy.json that a person may change; the others say what the graph was trained on."""

PROOFS = ("certificate", "certified", "thresholds", "tuned")
"""Evidence that was measured with the policy as it was."""


def changed_policy(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return policy.json's values with some of them set.

    Parameters
    ----------
    document : mapping
        `Policy.to_dict`.
    changes : mapping of str to JSON value
        Paths such as ``rule.min_p_useful.big-v2`` or ``fallbacks.0.model``, and what they are set to; None removes a
        pin. A name may hold dots. The values are checked when the policy is made of them, not here.

    Raises
    ------
    BundleError
        Where a path does not begin with one of `OVERRULABLE`, or leads through something that is no object or list.
    """
    found = copy.deepcopy(dict(document))
    for path, value in changes.items():
        root = path.partition(".")[0]
        if root not in OVERRULABLE:
            raise BundleError(f"policy: {path} cannot be set; allowed: {', '.join(OVERRULABLE)} and what is in them")
        place, key = _place(found, path)
        if isinstance(place, list):
            if not key.isdecimal() or int(key) >= len(place):
                raise BundleError(f"policy: {path} is not there: {key!r} is no position in a list of {len(place)}")
            place[int(key)] = value
        elif value is None and root.startswith("pinned_"):
            place.pop(key, None)
        else:
            place[key] = value
    return found


def overrule(
    path: str | Path, document: Mapping[str, Any], who: str, why: str = "", when: datetime | None = None
) -> list[dict[str, Any]]:
    """Replace a bundle's policy by a changed one, and return what was changed.

    The bundle is written anew, whole or not at all. ``evidence.overruled`` of the new policy holds one entry more:
    ``when`` (UTC), ``who``, ``why``, ``changed`` (path, from, to). What was measured with the old policy
    (certificate, before/after, thresholds) moves to ``evidence.before_overruling``: no certificate holds any more.

    Parameters
    ----------
    path : str or Path
        Folder of the bundle.
    document : mapping
        The new policy.json, see `changed_policy`; its evidence is not read.
    who, why : str
    when : datetime, optional
        Now by default.

    Raises
    ------
    BundleError
        Where the bundle does not load, the new policy is none, changes what is not `OVERRULABLE`, or changes nothing.
    """
    router = Router.load(path)
    bundle, before = router.bundle, router.policy.to_dict()
    # Read and written again, so that 1 and 1.0 are no difference.
    after = Policy.from_dict({**document, "evidence": before["evidence"]})
    changed = list(_differences(before, after.to_dict(), ""))
    roots = {entry["path"].partition(".")[0] for entry in changed}
    if not changed:
        raise BundleError(f"{bundle.path}: nothing is changed: the policy says so already")
    if roots - set(OVERRULABLE):
        raise BundleError(f"policy: {sorted(roots - set(OVERRULABLE))[0]} cannot be changed; {_ALLOWED}")
    moment = (when or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds")
    note = {"when": moment, "who": who, "why": why, "changed": changed}
    policy = replace(after, evidence=_without_proofs(before["evidence"], note))
    tokenizer = bundle.read(TOKENIZER).decode()
    vectors = [json.loads(line) for line in bundle.read(CONFORMANCE).decode().splitlines()]
    write_bundle(
        bundle.path,
        graph=bundle.read(MODEL),
        tokenizer_json=tokenizer,
        policy=policy,
        conformance=conformance_vectors(lambda prompts: _as_recorded(router, prompts, vectors), policy, tokenizer),
        model_card=_noted(bundle.read(CARD).decode(), note),
        model_io=bundle.io,
        provenance=bundle.manifest["provenance"],
        seen=bundle.seen,
    )
    return changed


_ALLOWED = f"allowed: {', '.join(OVERRULABLE)}"


def _place(node: Any, path: str) -> tuple[Any, str]:
    """Return the object or list that holds the last key of a path, and that key."""
    while True:
        if isinstance(node, dict):
            inside = [key for key in node if path.startswith(f"{key}.") and isinstance(node[key], dict | list)]
            if path in node or not inside:
                return node, path
            key = max(inside, key=len)
        elif "." in path:
            key = path.partition(".")[0]
            if not key.isdecimal() or int(key) >= len(node):
                return node, key
        else:
            return node, path
        path = path[len(key) + 1 :]
        node = node[int(key) if isinstance(node, list) else key]


def _differences(before: Any, after: Any, path: str) -> Iterator[dict[str, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from _differences(before.get(key), after.get(key), f"{path}.{key}" if path else key)
    elif before != after:
        yield {"path": path, "from": before, "to": after}


def _without_proofs(evidence: Mapping[str, Any], note: Mapping[str, Any]) -> dict[str, Any]:
    """Return the evidence with a note more; what was measured with the policy as it was is put aside."""
    kept = {key: value for key, value in evidence.items() if key not in PROOFS}
    aside = {key: value for key, value in evidence.items() if key in PROOFS}
    # Of several overrulings the first one's proofs are kept: only they were of a policy that the search had made.
    return {
        **kept,
        "overruled": [*evidence.get("overruled", []), note],
        "before_overruling": evidence.get("before_overruling", aside),
    }


def _as_recorded(router: Router, prompts: Sequence[str], vectors: Sequence[Mapping[str, Any]]) -> Reading:
    """Return what the graph reads, with the numbers that training wrote down where it did: they stay the measure."""
    reading = router.read(prompts)
    known = {vector["prompt"]: vector for vector in vectors}
    values = {key: np.array(table) for key, table in vars(reading).items() if table is not None}
    for at, prompt in enumerate(prompts):
        for key, table in values.items():
            if prompt in known:
                table[at] = known[prompt][key]
    return replace(reading, **values)


def _noted(card: str, note: Mapping[str, Any]) -> str:
    """Return the model card with the overruling in it, and the warning at its head."""
    warning = "**Overruled by hand: the figures and certificates below are of the policy before (see the end).**"
    head, _, rest = card.partition("\n")
    if warning not in card:
        card = f"{head}\n\n{warning}\n{rest}"
    changes = "; ".join(
        f"`{entry['path']}` from {json.dumps(entry['from'], ensure_ascii=False)} to "
        f"{json.dumps(entry['to'], ensure_ascii=False)}"
        for entry in note["changed"]
    )
    why = f" ({note['why']})" if note["why"] else ""
    return f"{card.rstrip()}\n\n## Overruled by {note['who'] or 'someone'}, {note['when']}\n{changes}{why}\n"
