"""The signature of a bundle: ed25519 over its manifest, which holds the hash of every other file.

``manifest.sig`` is the bare 64 bytes, keys are PEM: any tool that knows ed25519 can sign and check. Needs the extra
``[sign]`` where a key is made, read or used, and nothing at import.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.bundle import load_bundle
from pointsman.errors import BundleError, MissingExtraError, PointsmanError
from pointsman.manifest import SIGNATURE, rendered

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["make_keys", "read_private_key", "read_public_key", "sign_bundle", "write_keys"]

MAX_KEY_BYTES = 16_384


def make_keys() -> tuple[bytes, bytes]:
    """Return a new private key (PKCS #8) and its public key (SubjectPublicKeyInfo), both PEM, the first unencrypted.

    Raises
    ------
    MissingExtraError
        Where the extra ``[sign]`` is not installed.
    """
    _needed()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private, public


def read_private_key(path: str | Path) -> Ed25519PrivateKey:
    """Read an unencrypted ed25519 private key from a PEM file.

    Raises
    ------
    PointsmanError
        Where it is none.
    """
    _needed()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_pem(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise PointsmanError(f"{path}: not an unencrypted ed25519 private key in PEM form") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise PointsmanError(f"{path}: a {type(key).__name__}; an ed25519 private key is needed")
    return key


def read_public_key(source: str | bytes | Path) -> Ed25519PublicKey:
    """Read an ed25519 public key.

    Parameters
    ----------
    source : str, bytes or Path
        A PEM file, or the PEM itself.

    Raises
    ------
    PointsmanError
        Where it is none. An empty text is no key either: it never means that no signature is required.
    """
    _needed()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    pem = source.encode() if isinstance(source, str) and source.lstrip().startswith("-----BEGIN") else source
    data, name = (pem, "the public key") if isinstance(pem, bytes) else (_pem(pem), str(pem))
    try:
        key = load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise PointsmanError(f"{name}: not an ed25519 public key in PEM form") from error
    if not isinstance(key, Ed25519PublicKey):
        raise PointsmanError(f"{name}: a {type(key).__name__}; an ed25519 public key is needed")
    return key


def sign_bundle(path: str | Path, key: Ed25519PrivateKey) -> Path:
    """Write a bundle's ``manifest.sig``, whole or not at all, and return where it is; an older one is replaced.

    Raises
    ------
    BundleError
        Where the bundle does not load, or the file cannot be written.
    """
    bundle = load_bundle(path)
    where = bundle.path / SIGNATURE
    # Beside the folder, not in it: a gateway that loads at this moment refuses files that it does not know.
    partial = bundle.path.with_name(f".{bundle.path.name}.{secrets.token_hex(6)}.sig")
    try:
        partial.write_bytes(key.sign(rendered(bundle.manifest)))
        partial.replace(where)
    except OSError as error:
        raise BundleError(f"{where}: cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return where


def write_keys(path: str | Path) -> tuple[Path, Path]:
    """Make a pair of keys, write them to `path` (readable by its owner alone) and ``path.pub``, return both paths.

    Raises
    ------
    PointsmanError
        Where one of the files is there already, or cannot be written.
    """
    private, public = Path(path), Path(f"{path}.pub")
    for file in (private, public):
        if file.exists():
            raise PointsmanError(f"{file}: is there already; a key is never overwritten")
    secret, known = make_keys()
    try:
        for file, data, mode in ((private, secret, 0o600), (public, known, 0o644)):
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
                out.write(data)
    except OSError as error:
        raise PointsmanError(f"{error.filename or path}: cannot be written: {error.strerror or error}") from error
    return private, public


def _pem(path: str | Path) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_KEY_BYTES)
    except (OSError, ValueError) as error:
        raise PointsmanError(f"{str(path)!r}: no key can be read there: {error}") from error


def _needed() -> None:
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("cryptography", "sign") from error
