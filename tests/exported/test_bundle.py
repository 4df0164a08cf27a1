"""A bundle is whole or it is not loaded; a new one takes an old one's place only once it is complete."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointsman.bundle import load_bundle, write_bundle
from pointsman.errors import BundleError
from pointsman.expected import Lengths
from pointsman.manifest import FILES, MANIFEST

if TYPE_CHECKING:
    from pointsman.policy import Policy

Write = Callable[..., Path]

IO = {
    "inputs": ["input_ids", "attention_mask"],
    "outputs": ["intent_probs", "useful_probs"],
    "max_tokens": 64,
    "dimensions": 32,
    "intents": 3,
    "candidates": 3,
    "pad_id": 0,
}


@pytest.fixture
def write(tiny_policy: Policy) -> Write:
    def write(out: Path, **changes: Any) -> Path:
        parts: dict[str, Any] = {
            "graph": b"not run by these tests",
            "tokenizer_json": "{}",
            "policy": tiny_policy,
            "conformance": [{"prompt": "ä\u2028\x00"}, {"prompt": "b"}],
            "model_card": "# Card\n",
            "model_io": IO,
            "provenance": {"run_id": "r1"},
            "seen": [5, 1, 5],
        }
        return write_bundle(out, **(parts | changes))

    return write


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory, tiny_policy: Policy) -> Path:
    """A small bundle that the fuzzing tests copy."""
    return write_bundle(
        tmp_path_factory.mktemp("fuzz") / "bundle",
        graph=b"\x08\x08" + bytes(range(256)),
        tokenizer_json="{}",
        policy=tiny_policy,
        conformance=[{"prompt": "a"}],
        model_card="# Card\n",
        model_io=IO,
        provenance={"run_id": "r1", "versions": {"numpy": "2"}},
        seen=[1, 2, 3],
    )


def files(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir()}


def alter_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest and sign it again, as an attacker or a newer release would."""
    document = json.loads((folder / MANIFEST).read_text())
    document.pop("sha256")
    change(document)
    text = json.dumps(document, indent=2) + "\n"
    document["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(document, indent=2) + "\n")


def test_what_is_written_is_loaded(write: Write, tmp_path: Path, tiny_policy: Policy) -> None:
    bundle = load_bundle(write(tmp_path / "deep" / "er" / "b"))
    assert bundle.name == "b"
    assert bundle.policy.to_json() == tiny_policy.to_json()
    assert bundle.seen.tolist() == [1, 5]
    assert bundle.seen.dtype == np.uint64
    assert bundle.manifest["provenance"] == {"run_id": "r1"}
    assert [json.loads(line)["prompt"] for line in bundle.read("conformance.jsonl").decode().split("\n") if line] == [
        "ä\u2028\x00",
        "b",
    ]
    assert sorted(files(bundle.path)) == sorted((MANIFEST, *FILES))


def test_only_the_time_differs_between_two_writes(write: Write, tmp_path: Path) -> None:
    first, second = files(write(tmp_path / "1" / "b")), files(write(tmp_path / "2" / "b"))
    manifests = [json.loads(found.pop(MANIFEST)) for found in (first, second)]
    assert first == second
    for manifest in manifests:
        manifest.pop("created")
        manifest.pop("sha256")
    assert manifests[0] == manifests[1]


def test_a_bundle_is_replaced_whole(write: Write, tmp_path: Path) -> None:
    out = write(tmp_path / "b")
    write(out, model_card="# New\n")
    assert load_bundle(out).read("MODEL_CARD.md") == b"# New\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"], "nothing is left beside it"


@pytest.mark.parametrize(
    "bad",
    [
        {"graph": Path("does-not-exist.onnx")},
        {"provenance": {"loss": float("nan")}},
        {"provenance": {"what": object()}},
        {"conformance": [{"prompt": float("inf")}]},
        {"model_io": IO | {"candidates": 4}},
        {"model_io": {}},
        {"model_io": IO | {"outputs": ["intent_probs"]}},
        {"model_io": IO | {"outputs": ["intent_probs", "useful_probs", "output_tokens", "more"]}},
        {"model_io": IO | {"inputs": ["a", "b", "c"]}},
        {"tokenizer_json": "\ud800"},
        {"seen": [-1]},
        {"seen": ["x"]},
    ],
)
def test_a_failed_write_leaves_the_old_bundle(write: Write, tmp_path: Path, bad: dict[str, Any]) -> None:
    before = files(write(tmp_path / "b"))
    with pytest.raises(BundleError, match="cannot be written"):
        write(tmp_path / "b", **bad)
    assert files(tmp_path / "b") == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


def test_a_policy_that_needs_lengths_of_answers_needs_a_graph_that_expects_them(
    write: Write, tiny_policy: Policy, tmp_path: Path
) -> None:
    zeros = np.zeros(3)
    lengths = Lengths(np.ones(3), np.ones((3, 3)), zeros, np.array([0.0, 1e-6, 0.0]), zeros, zeros, zeros)
    policy = replace(tiny_policy, expected=replace(tiny_policy.expected, lengths=lengths))
    with pytest.raises(BundleError, match=r"policy.json: expects lengths of answers; model.onnx has no output"):
        write(tmp_path / "b", policy=policy)
    three = IO | {"outputs": ["intent_probs", "useful_probs", "output_tokens"]}
    assert load_bundle(write(tmp_path / "b", policy=policy, model_io=three)).policy.expected.lengths is not None


@pytest.mark.parametrize("failing", ["rename", "mkdir"])
def test_a_failing_disk_leaves_the_old_bundle(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    before = files(write(tmp_path / "b"))
    real = getattr(Path, failing)

    def fail(self: Path, *rest: Any, **named: Any) -> Any:
        if self.name.endswith(".tmp"):
            raise OSError(28, "No space left on device")
        return real(self, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, failing, fail)
        with pytest.raises(BundleError, match="No space left"):
            write(tmp_path / "b", model_card="# New\n")
    assert files(tmp_path / "b") == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


def test_what_is_not_a_bundle_is_not_replaced(write: Write, tmp_path: Path) -> None:
    out = tmp_path / "b"
    out.write_text("a file")
    with pytest.raises(BundleError, match="a file is in the way"):
        write(out)
    out.unlink()
    out.mkdir()
    write(out)  # an empty folder is fine
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match="not empty and not a bundle"):
        write(out)
    assert (out / "thesis.tex").read_text() == "years of work"
    (out / "thesis.tex").unlink()
    (out / MANIFEST).unlink()
    with pytest.raises(BundleError, match="not empty and not a bundle"):
        write(out)


def test_a_link_to_a_bundle_stays_a_link(write: Write, tmp_path: Path) -> None:
    target = write(tmp_path / "v1")
    (tmp_path / "current").symlink_to(target)
    assert load_bundle(tmp_path / "current").path == target
    write(tmp_path / "current", model_card="# New\n")
    assert (tmp_path / "current").is_symlink()
    assert load_bundle(target).read("MODEL_CARD.md") == b"# New\n"


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_a_missing_file_is_named(fuzzed: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(fuzzed, tmp_path / "b")
    (copy / name).unlink()
    with pytest.raises(BundleError, match=name):
        load_bundle(copy)


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_only_plain_files_are_read(fuzzed: Path, tmp_path: Path, name: str, kind: str) -> None:
    copy = shutil.copytree(fuzzed, tmp_path / "b")
    (copy / name).unlink()
    if kind == "link":
        (copy / name).symlink_to(fuzzed / name)
    elif kind == "folder":
        (copy / name).mkdir()
    else:
        os.mkfifo(copy / name)
    with pytest.raises(BundleError, match=name):
        load_bundle(copy)


def test_a_folder_is_needed(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle folder"):
        load_bundle(tmp_path / "absent")
    (tmp_path / "f").write_text("{}")
    with pytest.raises(BundleError, match="not a folder"):
        load_bundle(tmp_path / "f")
    with pytest.raises(BundleError):
        load_bundle("nul\0byte")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from((MANIFEST, *FILES)))
def test_no_changed_byte_is_loaded(fuzzed: Path, tmp_path: Path, data: st.DataObject, name: str) -> None:
    copy = tmp_path / "b"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(fuzzed, copy)
    original = (copy / name).read_bytes()
    at = data.draw(st.integers(0, len(original) - 1))
    way = data.draw(st.sampled_from(("flip", "cut", "insert", "append")))
    if way == "flip":
        changed = original[:at] + bytes([original[at] ^ data.draw(st.integers(1, 255))]) + original[at + 1 :]
    elif way == "cut":
        changed = original[:at]
    elif way == "insert":
        changed = original[:at] + data.draw(st.binary(min_size=1, max_size=9)) + original[at:]
    else:
        changed = original + data.draw(st.sampled_from((b"\n", b" ", b"\0", b"{}")))
    (copy / name).write_bytes(changed)
    if changed != original:
        with pytest.raises(BundleError) as caught:
            load_bundle(copy)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_every_byte_of_the_manifest_counts(fuzzed: Path, tmp_path: Path) -> None:
    manifest = shutil.copytree(fuzzed, tmp_path / "b") / MANIFEST
    original = manifest.read_bytes()
    for at in range(len(original)):
        manifest.write_bytes(original[:at] + bytes([original[at] ^ 1]) + original[at + 1 :])
        with pytest.raises(BundleError):
            load_bundle(manifest.parent)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_called_so(fuzzed: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(fuzzed, tmp_path / "b")
    size = (copy / name).stat().st_size
    os.truncate(copy / name, size - 1)
    with pytest.raises(BundleError, match=rf"{name}: {size - 1} bytes; the manifest says {size}: truncated"):
        load_bundle(copy)


@pytest.mark.parametrize("first", FILES)
def test_swapped_files_are_refused(fuzzed: Path, tmp_path: Path, first: str) -> None:
    copy = shutil.copytree(fuzzed, tmp_path / "b")
    second = FILES[(FILES.index(first) + 1) % len(FILES)]
    (copy / first).rename(copy / "x")
    (copy / second).rename(copy / first)
    (copy / "x").rename(copy / second)
    with pytest.raises(BundleError):
        load_bundle(copy)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_bizarre_but_signed_manifest_is_refused(fuzzed: Path, tmp_path: Path, data: st.DataObject) -> None:
    copy = tmp_path / "b"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(fuzzed, copy)
    value = data.draw(JSON)

    def change(document: dict[str, Any]) -> None:
        place: Any = document
        key: Any = data.draw(st.sampled_from(["format_version", "io", "files"]))
        while isinstance(place[key], dict) and data.draw(st.booleans()):
            place, key = place[key], data.draw(st.sampled_from(sorted(place[key])))
        place[key] = value

    before = (copy / MANIFEST).read_bytes()
    alter_manifest(copy, change)
    if (copy / MANIFEST).read_bytes() == before:
        return
    try:
        bundle = load_bundle(copy)
    except BundleError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:  # what may change without harm: names in io, and sizes nothing here can check
        assert {**bundle.manifest, "io": 0, "sha256": 0} == {**json.loads(before), "io": 0, "sha256": 0}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        "1" * 10_000,
        '{"format_version": 1}',
        "\ufeff{}",
        "\x00",
        "{" + " " * 2**22,
    ],
)
def test_a_manifest_of_any_text_is_refused(fuzzed: Path, tmp_path: Path, text: str) -> None:
    copy = shutil.copytree(fuzzed, tmp_path / "b")
    (copy / MANIFEST).write_bytes(text.encode())
    with pytest.raises(BundleError, match=r"manifest\.json"):
        load_bundle(copy)


def test_another_version_says_so(fuzzed: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(fuzzed, tmp_path / "b")
    alter_manifest(copy, lambda document: document.update(format_version=2))
    with pytest.raises(BundleError, match="format_version is '2'; this release loads 1"):
        load_bundle(copy)


@pytest.mark.parametrize("name", ["../policy.json", "/etc/passwd", "policy.json/../x", "", ".", "sub/x"])
def test_a_manifest_cannot_name_other_files(fuzzed: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(fuzzed, tmp_path / "b")
    alter_manifest(copy, lambda document: document["files"].update({name: document["files"]["policy.json"]}))
    with pytest.raises(BundleError, match="files must list exactly"):
        load_bundle(copy)


def test_shape_and_policy_must_fit(fuzzed: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(fuzzed, tmp_path / "b")
    alter_manifest(copy, lambda document: document["io"].update(candidates=4))
    with pytest.raises(BundleError, match=r"io.candidates is 4; policy.json has 3"):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("seen_requests.u64", b"1234567", "a multiple of 8"),
        ("seen_requests.u64", bytes(16), "must ascend"),
        ("policy.json", b"{}", "policy_version is None"),
        ("policy.json", b"\xff", "codec"),
    ],
)
def test_contents_are_checked_even_where_the_hash_fits(
    fuzzed: Path, tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    copy = shutil.copytree(fuzzed, tmp_path / "b")
    (copy / name).write_bytes(data)
    entry = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    alter_manifest(copy, lambda document: document["files"].update({name: entry}))
    with pytest.raises(BundleError, match=message):
        load_bundle(copy)


def test_a_file_changed_after_loading_is_noticed(fuzzed: Path, tmp_path: Path) -> None:
    bundle = load_bundle(shutil.copytree(fuzzed, tmp_path / "b"))
    (bundle.path / "model.onnx").write_bytes(bytes(258))
    with pytest.raises(BundleError, match="altered"):
        bundle.verify("model.onnx")
