"""Audits whatever lies at some paths: configurations, trace tables, bundles; what each is, shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pointsman.audit.audit_configuration import audit_configuration
from pointsman.audit.audit_traces import ALPHA, audit_traces
from pointsman.audit.prompt_files import read_sample
from pointsman.bundle_audit import SAMPLE, audit_bundle
from pointsman.errors import ConfigError
from pointsman.inputs import own_prices
from pointsman.manifest import MANIFEST
from pointsman.spec import load_spec
from pointsman.trace_files import READERS
from pointsman.traces import read_traces

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pointsman.audit.audit import Audit

__all__ = ["AuditOptions", "audit_paths"]

_CONFIGURATIONS = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class AuditOptions:
    """How to audit.

    Attributes
    ----------
    spec : Path or None
        Routing spec: prices, baseline.
    evaluation : Path or None
        Evaluation prompts, to be held against the traces' own.
    alpha : float
        Probability of any false alarm among the tests of traces.
    prompts : tuple of Path
        Sets with expected routes, for bundles.
    group : str or None
        Column of the traces with groups of users, for bundles.
    sample : int
        Prompts of the traces that are perturbed.
    seed : int
    """

    spec: Path | None = None
    evaluation: Path | None = None
    alpha: float = ALPHA
    prompts: tuple[Path, ...] = ()
    group: str | None = None
    sample: int = SAMPLE
    seed: int = 0


def audit_paths(paths: Sequence[Path], options: AuditOptions) -> list[Audit]:
    """Audit each path.

    Raises
    ------
    ConfigError
        Where there is nothing to audit, or a path is nothing that an audit knows.
    PointsmanError
        Where a file of a known kind cannot be used.
    """
    kinds = {path: _kind(path) for path in paths}
    if not kinds:
        raise ConfigError("nothing to audit: name a configuration, a trace table or the folder of a bundle")
    if not 0 < options.alpha < 1:
        raise ConfigError(f"alpha is {options.alpha:g}; a number between 0 and 1 is allowed")
    tables = [path for path, kind in kinds.items() if kind == "traces"]
    if options.evaluation is not None and not tables:
        raise ConfigError("--evaluation is held against production's prompts: name a trace table too")
    bundles = [path for path, kind in kinds.items() if kind == "bundle"]
    for name, given in (("--prompts", options.prompts), ("--group", options.group)):
        if given and not bundles:
            raise ConfigError(f"{name} is for bundles: name the folder of one too")
    spec = None if options.spec is None else load_spec(options.spec)
    evaluation = None if options.evaluation is None else read_sample(options.evaluation)
    audits = [audit_configuration(path) for path, kind in kinds.items() if kind == "configuration"]
    prices = None if spec is None else own_prices(spec)
    told: dict[str, Any] = {"prices": prices, "evaluation": evaluation, "alpha": options.alpha, "seed": options.seed}
    read = {path: read_traces(path) for path in tables}
    audits += [audit_traces(table.rows, str(path), **told) for path, table in read.items()]
    traces = next(iter(read.values()), None)
    if bundles and len(read) > 1:
        raise ConfigError("a bundle is held against one trace table; name one, or audit the others apart")
    audits += [
        audit_bundle(
            path,
            traces=traces,
            spec=spec,
            prompts=options.prompts,
            group=options.group,
            sample=options.sample,
            seed=options.seed,
        )
        for path in bundles
    ]
    return audits


def _kind(path: Path) -> str:
    if (path / MANIFEST).is_file():
        return "bundle"
    if path.is_file() and path.suffix.lower() in READERS:
        return "traces"
    if path.is_file() and path.suffix.lower() in _CONFIGURATIONS:
        return "configuration"
    what = (
        "a folder that is no bundle" if path.is_dir() else "no such file" if not path.exists() else "of no known kind"
    )
    allowed = f"{', '.join(_CONFIGURATIONS)} (configuration), {', '.join(READERS)} (traces), or the folder of a bundle"
    raise ConfigError(f"{path}: {what}; allowed: {allowed}")
