"""The bundle: a folder of plain files that a gateway loads, written atomically and verified to the last byte.

Standard library and numpy only. Nothing in it is executable, and no prompt or id of the training data is stored.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.errors import BundleError
from pointsman.manifest import (
    CARD,
    CONFORMANCE,
    FILES,
    FORMAT_VERSION,
    MANIFEST,
    MODEL,
    POLICY,
    SEEN,
    SIGNATURE,
    TOKENIZER,
    open_plain,
    read_manifest,
    refuse_more,
    refuse_unsigned,
    sha256,
    sign,
)
from pointsman.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from pointsman.manifest import PublicKey

__all__ = ["Bundle", "load_bundle", "write_bundle"]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle.

    Attributes
    ----------
    path : Path
        Its folder, links resolved.
    manifest : mapping
        Plain JSON values: format_version, name, created, io, provenance, files, sha256.
    policy : Policy
    seen : (s,) uint64 array
        Sorted hashes of the requests it was fitted on.
    """

    path: Path
    manifest: Mapping[str, Any]
    policy: Policy
    seen: NDArray[np.uint64]

    @property
    def name(self) -> str:
        """The folder's name when it was written."""
        return str(self.manifest["name"])

    @property
    def io(self) -> Mapping[str, Any]:
        """Names of the graph's inputs and outputs, and its dimensions."""
        io: Mapping[str, Any] = self.manifest["io"]
        return io

    def read(self, name: str) -> bytes:
        """Return the bytes of one of its files, verified again; raise BundleError where they have changed."""
        return _verified(self.path, name, self.manifest["files"][name])

    def verify(self, name: str) -> None:
        """Raise BundleError where one of its files is no longer what the manifest says; reads it in pieces."""
        _verified(self.path, name, self.manifest["files"][name], keep=False)


def write_bundle(
    out: str | Path,
    *,
    graph: Path | bytes,
    tokenizer_json: str,
    policy: Policy,
    conformance: Sequence[Mapping[str, Any]],
    model_card: str,
    model_io: Mapping[str, Any],
    provenance: Mapping[str, Any],
    seen: ArrayLike,
) -> Path:
    """Write a bundle to the folder `out`, whole or not at all, and return the folder.

    A bundle that is already there is replaced only once the new one is complete, verified and on disk. Apart from
    ``created`` (and the manifest's own hash), equal arguments give equal bytes.

    Parameters
    ----------
    out : str or Path
        A folder that is missing, empty, or a bundle.
    graph : Path or bytes
        The ONNX graph, or where it lies.
    tokenizer_json : str
        Text of the ``tokenizer.json`` that truncates as training did.
    policy : Policy
    conformance : sequence of mapping
        See `pointsman.conformance`; JSON values without NaN.
    model_card : str
        Markdown.
    model_io : mapping
        ``GraphInfo.io()``: inputs, outputs (two, and what there is of `pointsman.manifest.OPTIONAL`), max_tokens,
        dimensions, intents, candidates, pad_id.
    provenance : mapping
        Data fingerprint, time span, run id, library versions, encoder, seed: JSON values without NaN.
    seen : (s,) uint64 array_like
        Hashes of the requests that the fit used, in any order.

    Raises
    ------
    BundleError
        Where `out` holds something else, cannot be written, or the parts do not fit each other.
    """
    out = Path(out).resolve()
    _refuse_strangers(out)
    partial = out.with_name(f".{out.name}.{secrets.token_hex(6)}.tmp")
    try:
        contents = {
            MODEL: graph if isinstance(graph, bytes) else graph.read_bytes(),
            TOKENIZER: tokenizer_json.encode(),
            POLICY: policy.to_json().encode(),
            CONFORMANCE: "".join(f"{json.dumps(dict(row), allow_nan=False)}\n" for row in conformance).encode(),
            CARD: model_card.encode(),
            SEEN: np.unique(np.asarray(seen, dtype=np.uint64)).astype("<u8").tobytes(),
        }
        document = {
            "format_version": FORMAT_VERSION,
            "name": out.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "io": dict(model_io),
            "provenance": dict(provenance),
            "files": {name: {"bytes": len(data), "sha256": sha256(data)} for name, data in contents.items()},
        }
        contents[MANIFEST] = sign(document)
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        for name, data in contents.items():
            with (partial / name).open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        _sync(partial)
        load_bundle(partial)
        _swap_in(partial, out)
    except (OSError, TypeError, ValueError, OverflowError, RecursionError, BundleError) as error:
        reason = str(error).replace(str(partial), str(out))
        raise BundleError(f"{out}: the bundle cannot be written: {reason}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def load_bundle(path: str | Path, signed_by: PublicKey | None = None) -> Bundle:
    """Read and verify the bundle in the folder `path`.

    Parameters
    ----------
    path : str or Path
    signed_by : PublicKey, optional
        Its owner must have signed the manifest (see `pointsman.signature`); without it signatures are not looked at.

    Raises
    ------
    BundleError
        Where anything is missing, unknown, truncated, altered, not signed as asked for, or of a version or shape that
        this release does not load.
    """
    try:
        folder = Path(path).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise BundleError(f"{path}: no such bundle folder ({error})") from error
    if not folder.is_dir():
        raise BundleError(f"{folder}: not a folder; a bundle is a folder with {MANIFEST}")
    manifest = read_manifest(folder)
    if signed_by is not None:
        refuse_unsigned(folder, manifest, signed_by)
    refuse_more(folder)
    contents = {name: _verified(folder, name, manifest["files"][name], keep=name != MODEL) for name in FILES}
    try:
        policy = Policy.from_json(contents[POLICY].decode())
    except (BundleError, UnicodeDecodeError) as error:
        raise BundleError(f"{folder / POLICY}: {error}") from error
    for key, size in {"intents": len(policy.intents), "candidates": len(policy.candidates)}.items():
        if manifest["io"][key] != size:
            raise BundleError(f"{folder / MANIFEST}: io.{key} is {manifest['io'][key]!r}; {POLICY} has {size}")
    lengths, outputs = policy.expected.lengths, manifest["io"]["outputs"][2:]
    if lengths is not None and lengths.uses_answers and "output_tokens" not in outputs:
        raise BundleError(f"{folder / POLICY}: expects lengths of answers; {MODEL} has no output for them")
    abstain = policy.rule.abstain
    if abstain is not None and abstain.above_out_of_scope is not None and "out_of_scope" not in outputs:
        raise BundleError(f"{folder / POLICY}: abstains out of scope; {MODEL} has no output out_of_scope")
    if len(contents[SEEN]) % 8:
        raise BundleError(f"{folder / SEEN}: {len(contents[SEEN])} bytes; a multiple of 8 is needed")
    seen = np.frombuffer(contents[SEEN], dtype="<u8").astype(np.uint64)
    if (seen[1:] <= seen[:-1]).any():
        raise BundleError(f"{folder / SEEN}: hashes must ascend, each once")
    return Bundle(folder, manifest, policy, seen)


def _verified(folder: Path, name: str, entry: Mapping[str, Any], *, keep: bool = True) -> bytes:
    """Return a file's bytes (none where not `keep`) after comparing length and hash with its manifest entry."""
    where = folder / name
    with open_plain(folder, name) as file:
        size = os.fstat(file.fileno()).st_size
        if size != entry["bytes"]:
            raise BundleError(f"{where}: {size} bytes; the manifest says {entry['bytes']}: truncated or altered")
        data = file.read(size) if keep else b""
        found = sha256(data) if keep else hashlib.file_digest(file, "sha256").hexdigest()
    if found != entry["sha256"]:
        raise BundleError(f"{where}: sha256 {found}; the manifest says {entry['sha256']}: altered")
    return data


def _refuse_strangers(out: Path) -> None:
    """Raise BundleError where `out` is there and is neither an empty folder nor a bundle."""
    if not out.exists():
        return
    if not out.is_dir():
        raise BundleError(f"{out}: a file is in the way; name a new folder or a bundle to replace")
    present = {entry.name for entry in out.iterdir()}
    if present and (MANIFEST not in present or present - {MANIFEST, *FILES, SIGNATURE}):
        raise BundleError(f"{out}: not empty and not a bundle; name a new folder or a bundle to replace")


def _swap_in(partial: Path, out: Path) -> None:
    """Put the finished folder in the place of `out`; on failure the old one is back in its place.

    A kill between the two renames leaves the old bundle, whole, as ``.NAME.*.old`` beside it.
    """
    aside = out.with_name(f".{out.name}.{secrets.token_hex(6)}.old")
    replaced = out.exists()
    if replaced:
        out.rename(aside)
    try:
        partial.rename(out)
    except OSError:
        if replaced:
            aside.rename(out)
        raise
    _sync(out.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Flush a folder's entries to disk, where the platform lets folders be opened."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
