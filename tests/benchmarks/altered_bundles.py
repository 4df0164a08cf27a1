"""Alters a bundle in ten thousand ways and loads each: none may load, and nothing but BundleError may be raised.

``python tests/benchmarks/altered_bundles.py --bundle FOLDER [--count 10000] [--seed 0]``: prints a table, exits with 1
where one loads or fails in another way. Half of the alterations are tried without a signature: bytes are changed, or
contents of a wrong shape get hashes that fit. The other half is tried against a required signature: there, every
change counts, those with perfect hashes too.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import random
import shutil
import stat
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from pointsman.errors import BundleError
from pointsman.manifest import CARD, FILES, MANIFEST, MODEL, POLICY, SEEN, SIGNATURE, TOKENIZER, sign
from pointsman.router import Router
from pointsman.signature import make_keys, read_private_key, sign_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ALTERATIONS", "SIGNED_ALTERATIONS", "attempt", "signed_copy"]


def attempt(original: Path, scratch: Path, kind: str, chance: random.Random, key: bytes | None = None) -> str:
    """Alter a copy of a bundle in `scratch`, load it, and say: refused, unchanged, loaded or a crash."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(original, scratch)
    {**ALTERATIONS, **SIGNED_ALTERATIONS}[kind](scratch, chance)
    if _contents(scratch) == _contents(original):
        return "unchanged"
    try:
        Router.load(scratch, require_signature=key).close()
    except BundleError as error:
        return "refused" if "\n" not in str(error) else f"two lines: {error}"
    except Exception as error:  # noqa: BLE001 - that nothing else is raised is what is tried
        return f"crash: {type(error).__name__}: {error}"
    return "loaded"


def signed_copy(bundle: Path, folder: Path) -> tuple[Path, bytes]:
    """Copy a bundle, sign it with a new key, and return the copy and the public key."""
    private, public = make_keys()
    copied = Path(shutil.copytree(bundle, folder / "signed"))
    (folder / "key").write_bytes(private)
    sign_bundle(copied, read_private_key(folder / "key"))
    return copied, public


def _contents(folder: Path) -> dict[str, Any]:
    kinds = {entry.name: stat.S_IFMT(entry.lstat().st_mode) for entry in folder.iterdir()}
    return {name: (kind, (folder / name).read_bytes() if kind == stat.S_IFREG else b"") for name, kind in kinds.items()}


# Bytes and files, without new hashes.


def _file(folder: Path, chance: random.Random) -> Path:
    return folder / chance.choice((MANIFEST, *FILES))


def _flip(folder: Path, chance: random.Random) -> None:
    file = _file(folder, chance)
    data = bytearray(file.read_bytes())
    for _ in range(chance.choice((1, 1, 2, 9))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def _cut(folder: Path, chance: random.Random) -> None:
    file = _file(folder, chance)
    data = file.read_bytes()
    file.write_bytes(data[: chance.randrange(len(data))])


def _grow(folder: Path, chance: random.Random) -> None:
    file = _file(folder, chance)
    data = file.read_bytes()
    at = chance.choice((0, len(data), chance.randrange(len(data))))
    file.write_bytes(data[:at] + chance.choice((b"\n", b"\0", b" ", chance.randbytes(9))) + data[at:])


def _swap(folder: Path, chance: random.Random) -> None:
    one, other = chance.sample((MANIFEST, *FILES), 2)
    first, second = (folder / one).read_bytes(), (folder / other).read_bytes()
    (folder / one).write_bytes(second)
    (folder / other).write_bytes(first)


def _remove(folder: Path, chance: random.Random) -> None:
    _file(folder, chance).unlink()


def _link(folder: Path, chance: random.Random) -> None:
    """Put a link in the place of a file, to the very same bytes."""
    file = _file(folder, chance)
    target = folder.with_name(f"{folder.name}.target")
    file.replace(target)
    file.symlink_to(target if chance.random() < 0.5 else Path("..") / target.name)


def _folder(folder: Path, chance: random.Random) -> None:
    file = _file(folder, chance)
    file.unlink()
    file.mkdir()


def _extra(folder: Path, chance: random.Random) -> None:
    name = chance.choice(("model.onnx.data", "custom_ops.so", ".hidden", "__init__.py", "policy.json.bak", "é", "a b"))
    if chance.random() < 0.3:
        (folder / name).symlink_to("/dev/zero")
    elif chance.random() < 0.5:
        (folder / name).mkdir()
    else:
        (folder / name).write_bytes(chance.randbytes(9))


def _edited(folder: Path, chance: random.Random) -> None:
    """Change a value of the manifest and leave its hash as it was."""
    text = (folder / MANIFEST).read_text()
    document = json.loads(text)
    document[chance.choice(("name", "created"))] = "x"
    document["io"][chance.choice(("max_tokens", "pad_id"))] += 1
    (folder / MANIFEST).write_text(json.dumps(document, indent=2) + "\n")


# Contents of a wrong shape, with hashes that fit.


def _resigned(folder: Path, contents: dict[str, bytes], change: Callable[[dict[str, Any]], None] | None = None) -> None:
    document = json.loads((folder / MANIFEST).read_text())
    del document["sha256"]
    for name, data in contents.items():
        (folder / name).write_bytes(data)
        document["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    if change is not None:
        change(document)
    (folder / MANIFEST).write_bytes(sign(document))


def _manifest_shape(folder: Path, chance: random.Random) -> None:
    def change(document: dict[str, Any]) -> None:
        io, files = document["io"], document["files"]
        names = chance.choice(("intents", "candidates"))
        edits: tuple[Callable[[], object], ...] = (
            lambda: io.update({names: io[names] + chance.choice((-1, 1, 9))}),
            lambda: io.update({names: chance.choice((0, -1, None, "3", 2.0, True, [], 2**70))}),
            lambda: io.update(max_tokens=chance.choice((0, -5, 2**20 + 1, 2**40, None, 64.0))),
            lambda: io.update(pad_id=chance.choice((-1, 2**19, 2**63, None))),
            lambda: io.update(
                inputs=chance.choice(([], io["inputs"][:1], ["a", "b"], [1, 2], "ids", io["outputs"][:2]))
            ),
            lambda: io.update(outputs=chance.choice(([], io["outputs"][:1], ["a", "b"], [*io["outputs"], "c", "d"]))),
            lambda: files.pop(chance.choice(FILES)),
            lambda: files.update({chance.choice(("../x", "/etc/passwd", "x", ".")): files[POLICY]}),
            lambda: files[chance.choice(FILES)].update(bytes=chance.choice((0, -1, 2**50, True, None, "7"))),
            lambda: files[chance.choice(FILES)].update(sha256=chance.choice(("", "0" * 64, None, 7))),
            lambda: files.update({chance.choice(FILES): chance.choice((None, [], {}, "x"))}),
            lambda: document.update(format_version=chance.choice((0, 2, 1.0, True, "1", None))),
            lambda: document.pop(chance.choice(tuple(document))),
            lambda: document.update({chance.choice(("code", "plugins", "")): "x"}),
            lambda: document.update({chance.choice(("io", "files", "provenance")): chance.choice((None, [], "x"))}),
        )
        chance.choice(edits)()

    _resigned(folder, {}, change)


def _policy_shape(folder: Path, chance: random.Random) -> None:
    document = json.loads((folder / POLICY).read_text())
    edits: tuple[Callable[[], object], ...] = (
        lambda: document["intents"].append("new"),
        lambda: document["candidates"].pop(),
        lambda: document["candidates"].append(copy.deepcopy(document["candidates"][0])),
        lambda: document["candidates"].reverse() or document.update(rule=None),
        lambda: document["expected"].update(useful=document["expected"]["useful"] * 2),
        lambda: document["expected"]["cost_usd"][0].append(0.5),
        lambda: document["expected"]["late"].pop(),
        lambda: document["expected"].update(useful=[[2.0] * len(row) for row in document["expected"]["useful"]]),
        lambda: document.update(safe_model="cheap-elsewhere"),
        lambda: document.update(pinned_intents={document["intents"][0]: "cheap-elsewhere"}),
        lambda: document.update(fallbacks=[{"model": "x", "when": [], "cost_threshold_ms": None}]),
        lambda: document.update({"code": "import os"}),
        lambda: document.pop(chance.choice(tuple(document))),
        lambda: document["rule"].update(kind=chance.choice(("python", "", None, ["value"]))),
        lambda: document["rule"].update(trust=chance.choice((-1, 2, None, "1", 1e400, True))),
        lambda: document.update(text={"head_chars": -1, "tail_chars": 1}),
    )
    chance.choice(edits)()
    _resigned(folder, {POLICY: json.dumps(document).encode()})


def _graph_shape(folder: Path, chance: random.Random) -> None:
    model = onnx.load(folder / MODEL)
    graph, node = model.graph, chance.choice(model.graph.node)
    nan = np.full(3, np.nan, dtype=np.float32)
    inner = onnx.helper.make_graph([], "inner", [], [])
    edits: tuple[Callable[[], object], ...] = (
        lambda: setattr(node, "op_type", chance.choice(("Loop", "If", "Scan", "RandomNormal", "StringSplit", "PyOp"))),
        lambda: setattr(node, "domain", chance.choice(("com.microsoft", "ai.onnx.ml", "ai.onnx.contrib", "evil"))),
        lambda: model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1)),
        lambda: model.functions.append(onnx.FunctionProto(name="Add", domain="")),
        lambda: node.attribute.append(onnx.helper.make_attribute("body", inner)),
        lambda: _outside(chance.choice(graph.initializer), chance),
        lambda: model.metadata_props.append(onnx.StringStringEntryProto(key="ort_config", value="{}")),
        lambda: graph.initializer.append(onnx.TensorProto(name="s", data_type=8, dims=[1], string_data=[b"x"])),
        lambda: graph.output.pop(),
        lambda: graph.input.pop(),
        lambda: _doubled(graph, chance.choice((0, 1))),
        lambda: graph.node.append(onnx.helper.make_node("Identity", ["nowhere"], ["x"])),
        lambda: _replace(graph, nan),
        lambda: model.ClearField("graph"),
    )
    chance.choice(edits)()
    data = model.SerializeToString()
    if chance.random() < 0.2:
        data = chance.choice((data[: len(data) // 2], b"", chance.randbytes(500), b"\x08\x08ORTM" + data, data + data))
    _resigned(folder, {MODEL: data})


def _doubled(graph: onnx.GraphProto, axis: int) -> None:
    """Let an output have twice the rows or columns, whatever is said of it."""
    name = graph.output[-1].name
    node = next(node for node in graph.node if name in node.output)
    node.output[list(node.output).index(name)] = "half"
    graph.node.append(onnx.helper.make_node("Concat", ["half", "half"], [name], axis=axis))
    graph.output[-1].type.tensor_type.ClearField("shape")


def _outside(tensor: onnx.TensorProto, chance: random.Random) -> None:
    """Let a tensor's data lie in another file."""
    onnx.external_data_helper.set_external_data(tensor, chance.choice(("/etc/passwd", "../x", "policy.json")))
    tensor.ClearField("raw_data")


def _replace(graph: onnx.GraphProto, values: np.ndarray[Any, Any]) -> None:
    """Fill every float tensor with NaN."""
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            filled = np.resize(values, onnx.numpy_helper.to_array(tensor).shape)
            tensor.CopyFrom(onnx.numpy_helper.from_array(filled.astype(np.float32), tensor.name))


def _other_shape(folder: Path, chance: random.Random) -> None:
    tokenizer = json.loads((folder / TOKENIZER).read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary.update({f"word {index}": len(vocabulary) + index for index in range(50)})
    parts = (
        (TOKENIZER, json.dumps(tokenizer).encode()),
        (TOKENIZER, chance.choice((b"", b"{}", b"[]", b"\xff", b"null"))),
        (SEEN, chance.randbytes(chance.choice((1, 7, 9)))),
        (SEEN, bytes(16)),
        (POLICY, chance.choice((b"", b"{}", b"[]", b"\xff", b"null", b"[" * 99_999, b"NaN"))),
    )
    _resigned(folder, dict([chance.choice(parts)]))


ALTERATIONS: dict[str, Any] = {
    "bytes flipped": _flip,
    "cut": _cut,
    "bytes added": _grow,
    "files swapped": _swap,
    "file missing": _remove,
    "link for a file": _link,
    "folder for a file": _folder,
    "file too many": _extra,
    "manifest edited": _edited,
    "manifest of a wrong shape, hashes fit": _manifest_shape,
    "policy of a wrong shape, hashes fit": _policy_shape,
    "graph of a wrong shape, hashes fit": _graph_shape,
    "other file of a wrong shape, hashes fit": _other_shape,
}


# Perfect in themselves: only a signature can tell.


def _other_rule(folder: Path, chance: random.Random) -> None:
    document = json.loads((folder / POLICY).read_text())
    document["safe_model"] = document["candidates"][-1]["name"]
    document["long_context_tokens"] = chance.randrange(1, 9_999_999)
    _resigned(folder, {POLICY: json.dumps(document, indent=2).encode()})


def _other_name(folder: Path, chance: random.Random) -> None:
    _resigned(folder, {CARD: b"# Another\n"}, lambda document: document.update(name=f"b{chance.random()}"))


def _other_weights(folder: Path, chance: random.Random) -> None:
    data = bytearray((folder / MODEL).read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    _resigned(folder, {MODEL: bytes(data)})


def _signature_changed(folder: Path, chance: random.Random) -> None:
    data = bytearray((folder / SIGNATURE).read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    others = (bytes(data), bytes(data[: chance.randrange(64)]), bytes(data) + b"\n", bytes(64), chance.randbytes(64))
    (folder / SIGNATURE).write_bytes(chance.choice(others))


def _signature_missing(folder: Path, chance: random.Random) -> None:
    (folder / SIGNATURE).unlink()
    if chance.random() < 0.5:
        chance.choice((lambda at: at.mkdir(), lambda at: at.symlink_to("/dev/zero")))(folder / SIGNATURE)


def _signature_of_another(folder: Path, chance: random.Random) -> None:
    _other_rule(folder, chance)
    private, _ = make_keys()
    with tempfile.TemporaryDirectory() as keys:
        (Path(keys) / "key").write_bytes(private)
        sign_bundle(folder, read_private_key(Path(keys) / "key"))


SIGNED_ALTERATIONS: dict[str, Any] = {
    "policy of another, hashes fit": _other_rule,
    "card and name of another, hashes fit": _other_name,
    "weights of another, hashes fit": _other_weights,
    "signature changed": _signature_changed,
    "signature missing": _signature_missing,
    "signed by another": _signature_of_another,
}


def main() -> int:
    """Run the trials and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True, help="a bundle; a small one is fast")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        signed, key = signed_copy(args.bundle, folder)
        Router.load(signed, require_signature=key).close()  # unaltered it loads
        plan: list[tuple[str, Path, bytes | None]] = [(kind, args.bundle, None) for kind in ALTERATIONS]
        plan += [(kind, signed, key) for kind in (*SIGNED_ALTERATIONS, *ALTERATIONS)]
        found: dict[tuple[str, bool], Counter[str]] = {}
        trial = partial(attempt, scratch=folder / "scratch")
        for index in range(args.count):
            kind, bundle, required = plan[index % len(plan)]
            outcome = trial(bundle, kind=kind, chance=random.Random(args.seed * args.count + index), key=required)
            found.setdefault((kind, required is not None), Counter())[outcome] += 1
    for (kind, keyed), counts in found.items():
        said = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
        sys.stdout.write(f"{'signature required: ' if keyed else ''}{kind}: {said}\n")
    total = sum(found.values(), Counter())
    bad = {outcome: count for outcome, count in total.items() if outcome not in {"refused", "unchanged"}}
    sys.stdout.write(f"{total.total():,} altered: {total['refused']:,} refused, {total['unchanged']:,} not changed, ")
    sys.stdout.write(f"{sum(bad.values()):,} loaded or failed in another way\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
