"""The corpus of broken lines: made again from its seed, every break in it, and no line lost on the way in."""

from __future__ import annotations

import json
from random import Random

import pytest
from fuzzed_lines import BREAKS, broken_lines

from pointsman.trace_files import json_chunks

LINES = [
    json.dumps(
        {"id": n, "prompt": f"What is {n}? ä", "usage": {"in": [n, None]}, "ok": True}, ensure_ascii=False
    ).encode()
    for n in range(400)
]


def test_the_same_seed_makes_the_same_corpus() -> None:
    assert broken_lines(LINES, 3, 0.3) == broken_lines(LINES, 3, 0.3)
    assert broken_lines(LINES, 3, 0.3) != broken_lines(LINES, 4, 0.3)
    assert broken_lines(LINES, 3, 0.0) == LINES
    assert 0.2 < sum(a != b for a, b in zip(LINES, broken_lines(LINES, 3, 0.3), strict=True)) / len(LINES) < 0.4


@pytest.mark.parametrize("name", list(BREAKS))
def test_a_break_breaks_and_keeps_the_line_a_line(name: str) -> None:
    chance = Random(1)
    broken = [BREAKS[name](line, chance) for line in LINES[:40]]
    assert all(b"\n" not in line for line in broken)
    assert sum(a != b for a, b in zip(LINES, broken, strict=False)) > 20
    for line in (b"{}", b'{"a": 1}'):
        BREAKS[name](line, chance)


@pytest.mark.parametrize("seed", range(5))
def test_no_line_of_the_corpus_is_lost(seed: int) -> None:
    corpus = broken_lines(LINES, seed, 0.5)
    (chunk,) = json_chunks(enumerate(corpus, start=1))
    blank = sum(not line.strip() for line in corpus)
    assert len(chunk) + blank == len(LINES)
    numbers = sorted([*chunk.numbers, *(number for number, _, _ in chunk.broken)])
    assert numbers == [number for number, line in enumerate(corpus, start=1) if line.strip()]
    assert all("\n" not in reason and len(reason) < 400 for _, reason, _ in chunk.broken)
