"""Rerun: a fit once more, from nothing but what its run logged, held against the bundle that it made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.bundle import load_bundle
from pointsman.encoders import TransformerEncoder
from pointsman.errors import PointsmanError, TraceError
from pointsman.fingerprint import fingerprint
from pointsman.fit import FitResult, fit
from pointsman.traces import read_traces
from pointsman.tracking.reading import read_manifest_of, read_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.fit import Progress
    from pointsman.traces import TraceTable
    from pointsman.tracking.reading import FitRun
    from pointsman.tracking.recipe import Recipe
    from pointsman.tracking.store import Store

__all__ = ["Rerun", "differences", "rerun"]

MOVES = ("created", "sha256")
"""Keys of a manifest that another day changes: the date, and the manifest's own hash, which covers it."""


@dataclass(frozen=True, eq=False)
class Rerun:
    """A fit that was run again.

    Attributes
    ----------
    result : FitResult
    differences : tuple of str, or None
        What is not as it was, empty where every byte apart from the date is; None where the run had made no bundle.
    """

    result: FitResult
    differences: tuple[str, ...] | None


def rerun(
    store: Store,
    run: FitRun,
    out: Path,
    traces: Path | None = None,
    encoder: str | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Rerun:
    """Fit again what a run fitted and compare the bundles; the store is only read.

    Parameters
    ----------
    store : Store
    run : FitRun
    out : Path
        Folder of the new bundle.
    traces, encoder : optional
        Where the traces, or the encoder, lie now; by default where they lay. Both are checked by their hashes.
    cache : Path, optional
        Folder of embeddings.
    progress : callable, optional

    Raises
    ------
    TraceError
        Where the traces are not there, or not those of the run.
    PointsmanError
        Where the encoder is another, or the run cannot be read.
    """
    recipe, spec = read_recipe(store, run)
    table = _traces(run, recipe, traces)
    opened = _encoder(run, recipe, encoder)
    try:
        options = recipe.fit_options(cache=cache)
    except (TypeError, ValueError) as error:
        raise PointsmanError(f"run {run.short}: {error}") from error
    result = fit(table, spec, out, opened, options, run.run_id, progress)
    before = read_manifest_of(store, run)
    after = load_bundle(result.bundle).manifest
    return Rerun(result, None if before is None else tuple(differences(before, after)))


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return in words where two manifests differ, apart from their dates."""
    names = [name for name in dict.fromkeys((*before, *after)) if name not in MOVES]
    return [text for name in names for text in _differences(name, before.get(name), after.get(name))]


def _differences(name: str, one: Any, other: Any) -> list[str]:
    if one == other:
        return []
    if name.startswith("files."):
        return [f"{name.removeprefix('files.')}: other bytes"]
    if isinstance(one, dict) and isinstance(other, dict):
        parts = dict.fromkeys((*one, *other))
        return [text for part in parts for text in _differences(f"{name}.{part}", one.get(part), other.get(part))]
    return [f"{name}: {one} → {other}"]


def _traces(run: FitRun, recipe: Recipe, path: Path | None) -> TraceTable:
    where = path or (None if recipe.traces is None else Path(recipe.traces))
    if where is None:
        raise TraceError(f"run {run.short}: its traces came from memory; name their file by --traces")
    if path is None and not where.is_file():
        raise TraceError(f"run {run.short}: its traces lay in {where}, which is not there; name their file by --traces")
    table = read_traces(where)
    found = fingerprint(table.rows)
    if found != recipe.fingerprint:
        raise TraceError(
            f"{where}: not the traces of run {run.short}: fingerprint {found[:12]}…, not {recipe.fingerprint[:12]}…"
        )
    return table


def _encoder(run: FitRun, recipe: Recipe, source: str | None) -> TransformerEncoder:
    wanted = recipe.encoder
    opened = TransformerEncoder(source or wanted["source"])
    if opened.identity != wanted["sha256"]:
        raise PointsmanError(
            f"encoder {opened.name!r}: not the one of run {run.short} ({wanted['name']}): its weights or tokenizer are "
            "others; name the folder of the right one by --encoder"
        )
    return opened
