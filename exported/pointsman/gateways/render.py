"""A gateway's configuration, written from a policy: its text, and what the gateway cannot be told by it.

YAML is written here, so that no renderer needs a library.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pointsman.errors import PointsmanError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pointsman.policy import Policy

__all__ = ["Rendered", "as_yaml", "commented", "known_deployments"]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_SPECIAL = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
_UNPRINTABLE = re.compile("[^\t\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Rendered:
    """A gateway's configuration.

    Attributes
    ----------
    text : str
        The file, ready to be used; it says at its top what is missing.
    missing : tuple of str
        What the policy says and this gateway's configuration cannot express, one sentence each.
    """

    text: str
    missing: tuple[str, ...] = ()


def commented(lines: Iterable[str], mark: str = "#") -> str:
    """Return lines as comments; a line break within one cannot end the comment."""
    return "".join(f"{mark} {' '.join(_UNPRINTABLE.sub(' ', line).split())}".rstrip() + "\n" for line in lines)


def as_yaml(value: Any) -> str:
    """Return plain JSON values as YAML that reads the same in versions 1.1 and 1.2, keys in their order."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        lines = []
        for key, held in value.items():
            inner = _lines(held)
            if isinstance(held, dict | list) and held:
                lines += [f"{_scalar(str(key))}:", *(f"  {line}" for line in inner)]
            else:
                lines.append(f"{_scalar(str(key))}: {inner[0]}")
        return lines
    if isinstance(value, list | tuple) and value:
        lines = []
        for held in value:
            first, *rest = _lines(held)
            lines += [f"- {first}", *(f"  {line}" for line in rest)]
        return lines
    return [_scalar(value)]


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        if _PLAIN.fullmatch(value) and value.lower() not in _SPECIAL:
            return value
        return _UNPRINTABLE.sub(lambda found: _escaped(found.group()), json.dumps(value, ensure_ascii=False))
    if isinstance(value, tuple):
        value = list(value)
    text = json.dumps(value, allow_nan=False)
    if isinstance(value, float) and "e" in text:
        digits, _, power = text.partition("e")
        # YAML 1.1 takes 1e-07 for a text: it wants the point and the sign.
        sign = "" if power[0] in "+-" else "+"
        return f"{digits if '.' in digits else digits + '.0'}e{sign}{power}"
    return text


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def known_deployments(
    deployments: Mapping[str, Mapping[str, Any]] | None, policy: Policy, target: str
) -> Mapping[str, Mapping[str, Any]]:
    """Return what is known of who serves the candidates; raise PointsmanError where a name is no candidate's."""
    known: Mapping[str, Mapping[str, Any]] = {} if deployments is None else deployments
    for name in known:
        if name not in policy.models:
            raise PointsmanError(f"{target}: a deployment is named {name!r}; allowed: {', '.join(policy.models)}")
    return known
