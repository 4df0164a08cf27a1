"""The record of a retrain, beside its bundle: what a promotion goes by, bound to the very bundle that was judged."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

from pointsman.bundle import load_bundle
from pointsman.errors import BundleError, DoesNotHoldError

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.retraining.retrain import Retrained

__all__ = ["GateClosedError", "check_record", "record_of", "write_record"]


class GateClosedError(DoesNotHoldError):
    """The gate did not hold for this bundle (exit code 1)."""


def record_of(bundle: Path) -> Path:
    """Return where a bundle's record lies: beside its folder."""
    return bundle.with_name(f"{bundle.name}.retrain.json")


def write_record(bundle: Path, found: Retrained, champion: str) -> Path:
    """Write the record, whole or not at all.

    Parameters
    ----------
    bundle : Path
        Of the challenger.
    found : Retrained
    champion : str
        Version (hash of the manifest) of the bundle that it was compared with.
    """
    version = None if found.fitted is None else load_bundle(bundle).manifest["sha256"]
    path = record_of(bundle)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"challenger": version, "champion": champion, **found.to_dict()}
    partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def check_record(bundle: Path, champion: str | None) -> None:
    """Raise where this bundle was not judged, or the gate did not hold, or another champion serves since.

    Raises
    ------
    GateClosedError
        Where the gate did not hold.
    BundleError
        Where there is no record of this very bundle against this champion.
    """
    path = record_of(bundle)
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{path}: no record of a retrain, so nothing says that the gate holds; retrain, or give --force"
        ) from error
    if document.get("challenger") != load_bundle(bundle).manifest["sha256"]:
        raise BundleError(f"{path}: is of another bundle than {bundle}; retrain again, or give --force")
    if champion is not None and document.get("champion") != champion:
        raise BundleError(
            f"{path}: was judged against another champion than serves now; retrain again, or give --force"
        )
    if not document["gate"]["holds"]:
        failed = [one["text"] for one in document["gate"]["conditions"] if not one["holds"]]
        raise GateClosedError(f"{bundle}: the gate does not hold: {'; '.join(failed)}")
