"""The manifest of a bundle: which files it holds, their lengths and hashes, and what the graph's ends are called.

Standard library only. A manifest carries its own hash and is compared byte for byte with how it was written.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING, Any, Protocol

from pointsman.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import BufferedReader
    from pathlib import Path

__all__ = [
    "FILES",
    "FORMAT_VERSION",
    "MANIFEST",
    "OPTIONAL",
    "SIGNATURE",
    "PublicKey",
    "open_plain",
    "read_manifest",
    "refuse_more",
    "refuse_unsigned",
    "rendered",
    "sha256",
    "sign",
]

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
MODEL, TOKENIZER, POLICY = "model.onnx", "tokenizer.json", "policy.json"
CONFORMANCE, CARD, SEEN = "conformance.jsonl", "MODEL_CARD.md", "seen_requests.u64"
FILES = (MODEL, TOKENIZER, POLICY, CONFORMANCE, CARD, SEEN)
"""Every file beside the manifest; all are needed."""
SIGNATURE = "manifest.sig"
"""May be there, too (see `pointsman.signature`); any other file is refused."""

MAX_BYTES = 4 << 20
SIGNATURE_BYTES = 64
MOST_BYTES = {
    MODEL: 2**31 - 1,  # the most that protobuf allows
    TOKENIZER: 64 << 20,
    POLICY: 16 << 20,
    CONFORMANCE: 16 << 20,
    CARD: 4 << 20,
    SEEN: 1 << 30,
}
"""Larger files are refused before they are read."""
MOST_SIZE = 1 << 20
"""Of a dimension in ``io``: more tokens, intents or candidates than any graph has."""
OPTIONAL = ("output_tokens", "out_of_scope", "hallucination_probs", "intent_labels")
"""Outputs of a graph behind the first two, in this order; each is there where the traces could teach it."""
_KEYS = ("format_version", "name", "created", "io", "provenance", "files", "sha256")


class PublicKey(Protocol):
    """A key that can tell whether a signature is its own: ``cryptography``'s ``Ed25519PublicKey``."""

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raise where the signature is not this key's over the data."""


def sign(document: Mapping[str, Any]) -> bytes:
    """Return the text of a manifest with its own hash as the last key."""
    return rendered({**document, "sha256": sha256(rendered(document))})


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data`, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest, byte for byte as it was signed, with the keys and types that the loader relies on.

    Raises
    ------
    BundleError
        Where it is missing, altered, of another version, or not in this form.
    """
    where = folder / MANIFEST
    with open_plain(folder, MANIFEST) as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise BundleError(f"{where}: larger than {MAX_BYTES} bytes")
    try:
        document = json.loads(data)
        if not isinstance(document, dict):
            raise BundleError(f"{where}: a JSON object is needed, got {type(document).__name__}")
        version = document.get("format_version")
        if type(version) is not int or version != FORMAT_VERSION:
            raise BundleError(f"{where}: format_version is {str(version)[:40]!r}; this release loads {FORMAT_VERSION}")
        if tuple(document) != _KEYS:
            raise BundleError(f"{where}: keys are {', '.join(document)[:200]}; needed: {', '.join(_KEYS)}")
        unsigned = {key: value for key, value in document.items() if key != "sha256"}
        intact = document["sha256"] == sha256(rendered(unsigned)) and rendered(document) == data
    except (ValueError, TypeError, RecursionError) as error:
        raise BundleError(f"{where}: not a manifest: {str(error)[:200]}") from error
    if not intact:
        raise BundleError(f"{where}: altered since it was written (its own sha256 does not fit)")
    files, io = document["files"], document["io"]
    if not isinstance(files, dict) or tuple(files) != FILES:
        raise BundleError(f"{where}: files must list exactly {', '.join(FILES)}")
    for name, entry in files.items():
        kinds = {key: type(value) for key, value in entry.items()} if isinstance(entry, dict) else None
        if kinds != {"bytes": int, "sha256": str}:
            raise BundleError(f"{where}: files.{name} must have bytes (an integer) and sha256 (a text)")
        if entry["bytes"] > MOST_BYTES[name]:
            raise BundleError(f"{where}: files.{name}.bytes is {entry['bytes']}; at most {MOST_BYTES[name]} are read")
    for key, kind in {"name": str, "created": str, "io": dict, "provenance": dict}.items():
        if not isinstance(document[key], kind):
            raise BundleError(f"{where}: {key} must be {'a text' if kind is str else 'an object'}")
    for key, more in {"inputs": (), "outputs": OPTIONAL}.items():
        names = io.get(key)
        if not isinstance(names, list) or len(names) < 2 or {type(name) for name in names} != {str}:
            raise BundleError(f"{where}: io.{key} is {str(names)[:80]}; two names are needed")
        if names[2:] != [name for name in more if name in names[2:]]:
            allowed = f"two names{', then any of ' if more else ''}{', '.join(more)}"
            raise BundleError(f"{where}: io.{key} is {str(names)[:120]}; {allowed} are needed")
    for key, least in {"max_tokens": 1, "dimensions": 1, "intents": 1, "candidates": 1, "pad_id": 0}.items():
        size = io.get(key)
        if type(size) is not int or not least <= size <= MOST_SIZE:
            said = f"an integer from {least} to {MOST_SIZE} is needed"
            raise BundleError(f"{where}: io.{key} is {str(size)[:40]!r}; {said}")
    return document


def refuse_more(folder: Path) -> None:
    """Raise BundleError where the folder holds anything that is no file of a bundle."""
    known = (MANIFEST, *FILES, SIGNATURE)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name not in known:
                raise BundleError(f"{folder}: holds {entry.name!r}; a bundle holds {', '.join(known)} and nothing else")


def refuse_unsigned(folder: Path, document: Mapping[str, Any], key: PublicKey) -> None:
    """Raise BundleError where a manifest that was read has no signature by the owner of `key` beside it."""
    where = folder / SIGNATURE
    if not where.is_symlink() and not where.exists():
        raise BundleError(f"{where}: the bundle is not signed; a signature is required")
    with open_plain(folder, SIGNATURE) as file:
        signature = file.read(SIGNATURE_BYTES + 1)
    try:
        key.verify(signature, rendered(document))
    except Exception as error:  # cryptography is not imported here, and its InvalidSignature is a plain Exception
        raise BundleError(f"{where}: not a signature of this manifest by the required key") from error


def open_plain(folder: Path, name: str) -> BufferedReader:
    """Open a plain file of the folder: no link, pipe or device is followed or waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        handle = os.open(folder / name, flags)
    except OSError as error:
        raise BundleError(f"{folder / name}: {error.strerror or error}; every bundle has this plain file") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise BundleError(f"{folder / name}: not a plain file")
    return os.fdopen(handle, "rb")


def rendered(document: Mapping[str, Any]) -> bytes:
    """Return the bytes that a manifest is written as."""
    return (json.dumps(document, indent=2, allow_nan=False) + "\n").encode()
