"""Good JSON lines, broken in every way a file was ever seen broken: seeded, so that each corpus can be made again."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BREAKS", "broken_lines"]


def _truncated(line: bytes, chance: Random) -> bytes:
    return line[: chance.randrange(1, max(2, len(line) - 1))]


def _bad_utf8(line: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(line) + 1)
    return line[:at] + chance.choice([b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xe2\x82", b"\xf8\x88"]) + line[at:]


def _duplicate_key(line: bytes, chance: Random) -> bytes:
    key = chance.choice(list(json.loads(line)) or ["x"])
    return line.rstrip().removesuffix(b"}") + b", " + json.dumps(key).encode() + b": null}"


def _wrong_type(line: bytes, chance: Random) -> bytes:
    record = json.loads(line)
    wrong: list[Any] = [[], {}, "", "NaN", -1, True, [[1]], {"a": {"b": None}}, 1e308, "\ud800", "x" * 5000]
    for key in chance.sample(list(record), min(len(record), chance.randrange(1, 4))):
        record[key] = chance.choice(wrong)
    return json.dumps(record).encode()


def _nested_wrong_type(line: bytes, chance: Random) -> bytes:
    """Swap a value somewhere inside."""
    record = json.loads(line)
    places: list[tuple[Any, Any]] = []

    def walk(held: Any) -> None:
        for key in list(held) if isinstance(held, dict) else range(len(held)) if isinstance(held, list) else ():
            places.append((held, key))
            walk(held[key])

    walk(record)
    if places:
        held, key = chance.choice(places)
        held[key] = chance.choice([None, [], {}, 0, "0", False, [None], {"": ""}])
    return json.dumps(record).encode()


def _not_a_number(line: bytes, chance: Random) -> bytes:
    return _valued(line, chance, chance.choice([b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0.0"]))


def _huge_integer(line: bytes, chance: Random) -> bytes:
    return _valued(line, chance, b"9" * chance.choice([19, 20, 40, 309, 5000]))


def _valued(line: bytes, chance: Random, value: bytes) -> bytes:
    """Give one key a value that Python's json would not write."""
    record = json.loads(line)
    if not record:
        return b'{"x": ' + value + b"}"
    mark = f"mark-{chance.getrandbits(64):x}"
    record[chance.choice(list(record))] = mark
    return json.dumps(record).encode().replace(json.dumps(mark).encode(), value, 1)


def _nested_bomb(line: bytes, chance: Random) -> bytes:
    depth = chance.choice([200, 2_000, 100_000])
    opened, closed = chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    bomb = opened * depth + (b"1" if opened != b"[" else b"") + closed * (depth if chance.random() < 0.5 else 0)
    return _valued(line, chance, bomb)


def _blank(line: bytes, chance: Random) -> bytes:
    return chance.choice([b"", b" ", b"\t", b"   \t "])


def _carriage_return(line: bytes, chance: Random) -> bytes:
    return line + b"\r"


def _byte_order_mark(line: bytes, chance: Random) -> bytes:
    return b"\xef\xbb\xbf" + line


def _nul_bytes(line: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(line) + 1)
    return line[:at] + b"\0" * chance.randrange(1, 20) + line[at:]


def _joined(line: bytes, chance: Random) -> bytes:
    """Two records on one line: a writer died before its newline."""
    return line + chance.choice([b"", b" ", b","]) + line


def _not_an_object(line: bytes, chance: Random) -> bytes:
    return chance.choice(
        [b"null", b"1", b'"text"', b"[]", b"true", b"[" + line + b"]", b"#" + line, b"id,prompt,model"]
    )


def _single_quotes(line: bytes, chance: Random) -> bytes:
    return repr(json.loads(line)).encode("utf-8", "backslashreplace")


def _keys_gone(line: bytes, chance: Random) -> bytes:
    record = json.loads(line)
    for key in chance.sample(list(record), chance.randrange(len(record) + 1)):
        del record[key]
    return json.dumps(record).encode()


BREAKS: dict[str, Callable[[bytes, Random], bytes]] = {
    function.__name__.removeprefix("_"): function
    for function in (
        *(_truncated, _bad_utf8, _duplicate_key, _wrong_type, _nested_wrong_type, _not_a_number, _huge_integer),
        *(_nested_bomb, _blank, _carriage_return, _byte_order_mark, _nul_bytes, _joined, _not_an_object),
        *(_single_quotes, _keys_gone),
    )
}
"""Ways to break a line, by name."""


def broken_lines(lines: list[bytes], seed: int, share: float) -> list[bytes]:
    """Return as many lines, in their order, a share of them broken; none holds a newline.

    Some breaks leave a line that can still be read (a byte order mark, a carriage return, a value of another type):
    the count of lines stays, what becomes of each is for the reader to say.

    Parameters
    ----------
    lines : list of bytes
        One JSON object each, without newlines.
    seed : int
        Same lines, seed and share, same corpus.
    share : float
        Probability with which a line is broken, 0..1.
    """
    chance = Random(seed)
    names = list(BREAKS)
    return [BREAKS[chance.choice(names)](line, chance) if chance.random() < share else line for line in lines]
