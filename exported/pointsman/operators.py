"""The operators of a graph, read from its bytes before onnxruntime sees them: only tensor arithmetic is let through.

A walk over the protobuf of an ONNX file (its wire format, and the messages ModelProto, GraphProto, NodeProto,
AttributeProto, TensorProto of onnx.proto) that knows just enough to refuse. Standard library only. What it has no rule
for is refused: functions, subgraphs (so no loops), operators of other domains, data in other files, text tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["OPERATORS", "check_graph"]

_NAMES = """
Abs Add And Cast Ceil Clip Concat Constant ConstantOfShape CumSum Div Equal Erf Exp Expand Flatten Floor
Gather GatherElements GatherND Gelu Gemm Greater GreaterOrEqual Identity IsInf IsNaN LayerNormalization Less
LessOrEqual Log MatMul Max Mean Min Mod Mul Neg Not Or Pad Pow Range Reciprocal ReduceL2 ReduceMax ReduceMean
ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Round ScatterElements ScatterND Shape Sigmoid Sign
Size Slice Softmax Softplus Split Sqrt Squeeze Sub Sum Tanh Tile Transpose Trilu Unsqueeze Where
"""
OPERATORS = frozenset(_NAMES.split())
"""What transformer encoders and heads are made of: deterministic, without loops, text, chance or files."""

DOMAINS = frozenset((b"", b"ai.onnx"))
"""The standard operators' domain, by its two names."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types of protobuf; groups (3, 4) are refused."""

# Field numbers that each message may have.
_MODEL = {"ir_version": 1, "producer": 2, "producer_version": 3, "model_version": 5, "doc": 6, "graph": 7, "opset": 8}
_GRAPH = {"node": 1, "name": 2, "initializer": 5, "doc": 10, "input": 11, "output": 12, "value_info": 13}
_NODE = {"input": 1, "output": 2, "name": 3, "op_type": 4, "attribute": 5, "doc": 6, "domain": 7}
_ATTRIBUTE = {"name": 1, "f": 2, "i": 3, "s": 4, "t": 5, "floats": 7, "ints": 8, "doc": 13, "type": 20}
_TENSOR = {"dims": 1, "type": 2, "floats": 4, "int32s": 5, "int64s": 7, "name": 8, "raw": 9, "doubles": 10, "doc": 12}
_OPSET = {"domain": 1, "version": 2}


class _RefusedError(ValueError):
    """What is in the graph that may not be."""


def check_graph(data: bytes, where: str) -> None:
    """Raise BundleError where a graph holds anything but standard tensor operators and their constants.

    Parameters
    ----------
    data : bytes
        The ONNX file.
    where : str
        For the message.
    """
    try:
        _check_model(memoryview(data))
    except _RefusedError as error:
        raise BundleError(f"{where}: not a graph of a bundle: {error}") from error


def _check_model(data: memoryview) -> None:
    graphs = 0
    for number, part in _fields(data, _MODEL, "model"):
        if number == _MODEL["graph"]:
            _check_main_graph(_message(part, "graph"))
            graphs += 1
        elif number == _MODEL["opset"]:
            for key, value in _fields(_message(part, "opset_import"), _OPSET, "opset_import"):
                if key == _OPSET["domain"]:
                    _check_domain(value)
    if graphs != 1:
        raise _RefusedError(f"it holds {graphs} graphs; one is needed")


def _check_main_graph(data: memoryview) -> None:
    for number, part in _fields(data, _GRAPH, "graph"):
        if number == _GRAPH["node"]:
            _check_node(_message(part, "node"))
        elif number == _GRAPH["initializer"]:
            _check_tensor(_message(part, "initializer"))


def _check_node(data: memoryview) -> None:
    for number, part in _fields(data, _NODE, "node"):
        # A field that is there twice is checked twice: whichever a reader keeps, it is an allowed one.
        if number == _NODE["op_type"]:
            name = bytes(_message(part, "op_type")).decode(errors="replace")
            if name not in OPERATORS:
                raise _RefusedError(f"operator {name[:80]!r} is not among the {len(OPERATORS)} that are let through")
        elif number == _NODE["domain"]:
            _check_domain(part)
        elif number == _NODE["attribute"]:
            for key, value in _fields(_message(part, "attribute"), _ATTRIBUTE, "attribute"):
                if key == _ATTRIBUTE["t"]:
                    _check_tensor(_message(value, "attribute's tensor"))


def _check_tensor(data: memoryview) -> None:
    for _ in _fields(data, _TENSOR, "tensor"):
        pass


def _check_domain(part: int | memoryview | None) -> None:
    domain = bytes(_message(part, "domain"))
    if domain not in DOMAINS:
        raise _RefusedError(
            f"operators of the domain {domain.decode(errors='replace')[:80]!r}; only standard ones may be"
        )


def _message(part: int | memoryview | None, what: str) -> memoryview:
    if not isinstance(part, memoryview):
        raise _RefusedError(f"{what} is of the wrong wire type")
    return part


def _fields(data: memoryview, allowed: dict[str, int], what: str) -> Iterator[tuple[int, int | memoryview | None]]:
    """Yield number and value of a message's fields; a value is an integer, a part of the data, or None (4, 8 bytes)."""
    numbers = set(allowed.values())
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if number not in numbers:
            raise _RefusedError(f"{what} has the field {number}; it may have {', '.join(map(str, sorted(numbers)))}")
        value: int | memoryview | None = None
        if wire == VARINT:
            value, at = _varint(data, at)
        elif wire == BYTES:
            length, at = _varint(data, at)
            value = data[at : at + length]
            at += length
        elif wire in (FIXED64, FIXED32):
            at += 8 if wire == FIXED64 else 4
        else:
            raise _RefusedError(f"{what} has the wire type {wire}")
        if at > end:
            raise _RefusedError(f"{what} is cut short")
        yield number, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number at a position, and the position behind it."""
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise _RefusedError("a number is cut short or too long")
