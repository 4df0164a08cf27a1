"""Audits a configuration file: ours, the short form, a policy, LiteLLM's; which one it is shows by its keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.audit.audit import Audit, together
from pointsman.audit.failure_checks import FAILURE_CHECKS, failure_findings
from pointsman.audit.litellm_configuration import of_litellm
from pointsman.audit.own_configuration import of_policy, of_short_form, of_spec
from pointsman.audit.routing_checks import ROUTING_CHECKS, routing_findings
from pointsman.errors import ConfigError
from pointsman.yaml_lines import read_yaml

if TYPE_CHECKING:
    from pointsman.audit.configuration import Configuration
    from pointsman.yaml_lines import Lines

__all__ = ["CONFIGURATION_CHECKS", "audit_configuration", "read_configuration"]

CONFIGURATION_CHECKS = (*ROUTING_CHECKS, *FAILURE_CHECKS)

_NEEDS = {
    "no-safe-model": {"spec", "short", "policy"},
    "free-failure": {"spec", "short"},
    "breaks-schema": {"spec", "short"},
    "fallback-loop": {"litellm"},
}
"""Checks that only some formats can have."""


def audit_configuration(path: str | Path) -> Audit:
    """Audit a configuration file.

    Raises
    ------
    ConfigError
        Where the file cannot be read, or is in no format that is known.
    """
    config = read_configuration(path)
    checked = tuple(one.code for one in CONFIGURATION_CHECKS if config.kind in _NEEDS.get(one.code, {config.kind}))
    findings = (*routing_findings(config), *failure_findings(config))
    return together([Audit((str(path),), findings, checked, notes=config.notes)])


def read_configuration(path: str | Path) -> Configuration:
    """Read a configuration file of any known format; see `audit_configuration` for what is raised."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    document, lines = read_yaml(text, str(path), ConfigError)
    return _of(document, str(path), lines)


def _of(document: Any, file: str, lines: Lines) -> Configuration:
    if isinstance(document, Mapping):
        if "model_list" in document:
            return of_litellm(document, file, lines)
        if "routing" in document:
            return of_short_form(document, file, lines)
        if "policy_version" in document:
            return of_policy(document, file, lines)
        if "candidates" in document:
            return of_spec(document, file, lines)
    raise ConfigError(
        f"{file}: no configuration that is known; a mapping is needed with candidates (a routing spec), routing (its "
        "short form), policy_version (a bundle's policy.json) or model_list (LiteLLM's config.yaml)"
    )
