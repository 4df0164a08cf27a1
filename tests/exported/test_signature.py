"""A required signature is one by the key's owner over this very manifest; everything else is refused in one line."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pointsman.bundle import load_bundle
from pointsman.commands import keygen, sign
from pointsman.errors import BundleError, MissingExtraError, PointsmanError
from pointsman.manifest import MANIFEST, POLICY, SIGNATURE
from pointsman.overruling import changed_policy, overrule
from pointsman.router import Router
from pointsman.signature import make_keys, read_private_key, read_public_key, sign_bundle, write_keys

if TYPE_CHECKING:
    from types import ModuleType

pytest.importorskip("cryptography")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_keys(tmp_path_factory.mktemp("keys") / "k")


@pytest.fixture
def signed(tiny_bundle: Path, tmp_path: Path, keys: tuple[Path, Path]) -> Path:
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "signed"))
    assert sign_bundle(copy, read_private_key(keys[0])) == copy / SIGNATURE
    return copy


def command(module: ModuleType, *arguments: str | Path) -> int:
    parser = ArgumentParser()
    module.add_arguments(parser)
    return int(module.run(parser.parse_args(list(map(str, arguments)))))


def test_a_signed_bundle_loads_with_its_key_and_without(signed: Path, keys: tuple[Path, Path]) -> None:
    for key in (keys[1], str(keys[1]), keys[1].read_bytes(), keys[1].read_text()):
        assert Router.load(signed, require_signature=key).route("hello").model
    assert Router.load(signed).route("hello").model
    assert [entry.name for entry in signed.parent.iterdir()] == ["signed"], "nothing is left beside it"


def test_an_unsigned_one_loads_only_where_no_signature_is_required(tiny_bundle: Path, keys: tuple[Path, Path]) -> None:
    assert Router.load(tiny_bundle).route("hello").model
    with pytest.raises(BundleError, match=r"manifest\.sig: the bundle is not signed; a signature is required"):
        Router.load(tiny_bundle, require_signature=keys[1])


def test_another_key_s_signature_is_refused(signed: Path) -> None:
    with pytest.raises(BundleError, match="not a signature of this manifest by the required key"):
        Router.load(signed, require_signature=make_keys()[1])


@pytest.mark.parametrize("change", [b"", bytes(64), b"x" * 63, b"x" * 65, b"x" * 10_000])
def test_other_bytes_are_no_signature(signed: Path, keys: tuple[Path, Path], change: bytes) -> None:
    (signed / SIGNATURE).write_bytes(change)
    with pytest.raises(BundleError, match="not a signature"):
        Router.load(signed, require_signature=keys[1])


@pytest.mark.parametrize("kind", ["link", "dangling link", "folder"])
def test_a_signature_is_a_plain_file(signed: Path, keys: tuple[Path, Path], kind: str) -> None:
    real = (signed / SIGNATURE).rename(signed.with_name("sig"))
    if kind == "folder":
        (signed / SIGNATURE).mkdir()
    else:
        (signed / SIGNATURE).symlink_to(real if kind == "link" else "nowhere")
    with pytest.raises(BundleError, match=r"manifest\.sig"):
        Router.load(signed, require_signature=keys[1])


def test_a_signature_does_not_outlive_a_change(signed: Path, keys: tuple[Path, Path]) -> None:
    """A person who overrules the policy must have it signed again; hashes alone are not enough."""
    old = (signed / SIGNATURE).read_bytes()
    overrule(signed, changed_policy(load_bundle(signed).policy.to_dict(), {"safe_model": "large"}), "someone")
    with pytest.raises(BundleError, match="is not signed"):
        Router.load(signed, require_signature=keys[1])
    (signed / SIGNATURE).write_bytes(old)
    with pytest.raises(BundleError, match="not a signature of this manifest"):
        Router.load(signed, require_signature=keys[1])
    sign_bundle(signed, read_private_key(keys[0]))
    assert Router.load(signed, require_signature=keys[1]).policy.safe_model == "large"


def test_files_are_checked_under_a_right_signature(signed: Path, keys: tuple[Path, Path]) -> None:
    (signed / POLICY).write_bytes((signed / POLICY).read_bytes().replace(b"small", b"large", 1))
    with pytest.raises(BundleError, match=r"policy\.json: sha256"):
        Router.load(signed, require_signature=keys[1])


def test_every_later_bundle_must_be_signed_too(signed: Path, tiny_bundle: Path, keys: tuple[Path, Path]) -> None:
    router = Router.load(signed, require_signature=keys[1])
    version = router.version
    for change in (router.reload, lambda path: router.canary(path, 0.5), lambda path: router.shadow(path, 0.5)):
        with pytest.raises(BundleError, match="is not signed"):
            change(tiny_bundle)
    assert router.reload(signed) == version


@pytest.mark.parametrize("key", ["", b"", "no key", b"no key", "-----BEGIN PUBLIC KEY-----\nxx\n", "\0", Path("/")])
def test_what_is_no_key_never_means_that_none_is_required(signed: Path, key: Any) -> None:
    with pytest.raises(PointsmanError) as caught:
        Router.load(signed, require_signature=key)
    assert "\n" not in str(caught.value)


def test_keys_of_another_kind_are_refused(signed: Path, tmp_path: Path, keys: tuple[Path, Path]) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    key = generate_private_key(SECP256R1())
    pem = serialization.Encoding.PEM
    plain, locked = serialization.NoEncryption(), serialization.BestAvailableEncryption(b"secret")
    (tmp_path / "ec").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    ours = read_private_key(keys[0])
    (tmp_path / "locked").write_bytes(ours.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked))
    with pytest.raises(PointsmanError, match="an ed25519 private key is needed"):
        read_private_key(tmp_path / "ec")
    with pytest.raises(PointsmanError, match="not an unencrypted ed25519 private key"):
        read_private_key(tmp_path / "locked")
    with pytest.raises(PointsmanError, match="an ed25519 public key is needed"):
        read_public_key(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(PointsmanError, match="not an ed25519 public key"):
        read_public_key(keys[0])


def test_keys_are_never_overwritten_and_the_private_one_is_private(tmp_path: Path) -> None:
    private, public = write_keys(tmp_path / "k")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes()
    with pytest.raises(PointsmanError, match="is there already"):
        write_keys(private)
    private.unlink()
    with pytest.raises(PointsmanError, match=r"k\.pub: is there already"):
        write_keys(private)
    assert not private.exists()
    assert b"PRIVATE" in before
    assert b"PUBLIC" in public.read_bytes()
    with pytest.raises(PointsmanError, match="cannot be written"):
        write_keys(tmp_path / "absent" / "k")


def test_the_commands(
    tiny_bundle: Path, tmp_path: Path, keys: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(tiny_bundle, tmp_path / "b"))
    assert command(keygen, "--out", tmp_path / "new") == 0
    assert command(sign, "--bundle", copy, "--key", tmp_path / "new") == 0
    assert command(sign, "--bundle", copy, "--check", tmp_path / "new.pub") == 0
    said = capsys.readouterr().out
    assert str(copy / SIGNATURE) in said
    assert "signed by the owner of" in said
    assert "PRIVATE KEY" not in said
    with pytest.raises(BundleError, match="not a signature"):
        command(sign, "--bundle", copy, "--check", keys[1])
    (copy / MANIFEST).write_text(json.dumps({}))
    with pytest.raises(BundleError):
        command(sign, "--bundle", copy, "--key", tmp_path / "new")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_any_other_tool_can_check_it(signed: Path, keys: tuple[Path, Path]) -> None:
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(keys[1]), "-rawin"]
    command += ["-in", str(signed / MANIFEST), "-sigfile", str(signed / SIGNATURE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Success" in done.stdout, done.stderr


def test_without_the_extra_it_says_so(signed: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtraError, match=r"pointsman\[sign\]"):
        Router.load(signed, require_signature=keys[1])
    assert Router.load(signed).route("hello").model
