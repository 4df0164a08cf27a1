"""Some hundred of the alterations that the benchmark makes ten thousand of: none loads."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import onnx
import pytest
from altered_bundles import ALTERATIONS, SIGNED_ALTERATIONS, attempt, signed_copy

from pointsman.bundle import load_bundle
from pointsman.errors import BundleError
from pointsman.manifest import FILES, MOST_BYTES, SIGNATURE
from pointsman.operators import OPERATORS, check_graph
from pointsman.router import Router

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def signed(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    pytest.importorskip("cryptography")
    return signed_copy(tiny_bundle, tmp_path_factory.mktemp("altered"))


@pytest.mark.parametrize("kind", ALTERATIONS)
def test_no_altered_bundle_loads(tiny_bundle: Path, tmp_path: Path, kind: str) -> None:
    outcomes = {attempt(tiny_bundle, tmp_path / "b", kind, random.Random(seed)) for seed in range(15)}
    assert outcomes == {"refused"}


@pytest.mark.parametrize("kind", [*ALTERATIONS, *SIGNED_ALTERATIONS])
def test_with_a_required_signature_no_perfect_forgery_does(
    signed: tuple[Path, bytes], tmp_path: Path, kind: str
) -> None:
    folder, key = signed
    assert Router.load(folder, require_signature=key).route("hello").model
    outcomes = {attempt(folder, tmp_path / "b", kind, random.Random(seed), key) for seed in range(8)}
    assert outcomes == {"refused"}


def test_without_it_a_perfect_forgery_is_another_bundle(tiny_bundle: Path, tmp_path: Path) -> None:
    """What the hashes cannot tell: whoever can write them can write a bundle of his own."""
    assert attempt(tiny_bundle, tmp_path / "b", "policy of another, hashes fit", random.Random(0)) == "loaded"


@pytest.mark.parametrize("name", ["custom_ops.so", "model.onnx.data", ".hidden", "policy.json~", "MANIFEST.JSON"])
def test_an_unknown_file_is_named(tiny_bundle: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(tiny_bundle, tmp_path / "b")
    (copy / SIGNATURE).write_bytes(b"not looked at")
    load_bundle(copy)
    (copy / name).write_bytes(b"")
    with pytest.raises(BundleError, match=f"holds '{name}'; a bundle holds manifest.json, "):
        load_bundle(copy)


def test_what_may_be_read_is_bounded() -> None:
    assert set(MOST_BYTES) == set(FILES)
    assert max(MOST_BYTES.values()) < 2**31


@pytest.fixture(scope="module")
def graph(tiny_bundle: Path) -> bytes:
    return load_bundle(tiny_bundle).read("model.onnx")


def test_what_training_exports_passes(graph: bytes) -> None:
    check_graph(graph, "g")
    assert {node.op_type for node in onnx.load_from_string(graph).graph.node} <= OPERATORS
    assert not OPERATORS & {"If", "Loop", "Scan", "SequenceMap", "RandomNormal", "Multinomial", "StringNormalizer"}


def test_a_cut_graph_is_refused_wherever_it_is_cut(graph: bytes) -> None:
    """And never with another error; a cut between two parts of it may leave a smaller graph, or none."""
    for at in (*range(400), *range(400, len(graph), 997)):
        try:
            check_graph(graph[:at], "g")
        except BundleError as error:
            assert str(error).startswith("g: not a graph of a bundle: ")  # noqa: PT017
        else:
            onnx.load_from_string(graph[:at])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it holds 0 graphs"),
        (b"\x3a\x00\x3a\x00", "it holds 2 graphs"),
        (b"\x38\x01", "graph is of the wrong wire type"),
        (b"\x3b\x3c", "wire type 3"),
        (b"\x3a\x05\x0a", "model is cut short"),
        (b"\x3a" + b"\xff" * 11, "a number is cut short or too long"),
        (b"\xca\x01\x00", "model has the field 25"),
        (b"\x3a\x06\x0a\x04\x22\x02If", "operator 'If' is not among the"),
        (b"\x3a\x0b\x0a\x09\x22\x03Add\x3a\x02xy", "operators of the domain 'xy'"),
        (b"\x3a\x0c\x0a\x0a\x22\x03Add\x22\x03\xff\xfeX", "operator '\ufffd\ufffdX' is not among the"),
        (b"\x3a\x04\x2a\x02\x70\x01", "tensor has the field 14"),
        (b"\x42\x04\x0a\x02ml", "operators of the domain 'ml'"),
    ],
)
def test_what_is_refused_in_a_graph(data: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        check_graph(data, "g")


def test_a_name_that_is_given_twice_is_checked_twice() -> None:
    """Of a field that is there twice protobuf keeps the last; a reader that keeps the first must not be fooled."""
    for names in (("Add", "Loop"), ("Loop", "Add")):
        fields = b"".join(b"\x22" + bytes([len(name)]) + name.encode() for name in names)
        node = b"\x0a" + bytes([len(fields)]) + fields
        with pytest.raises(BundleError, match="'Loop'"):
            check_graph(b"\x3a" + bytes([len(node)]) + node, "g")
