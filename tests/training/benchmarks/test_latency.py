"""`pointsman benchmark latency`: calls are timed, prompts have their length, a missing peer is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tokenizers import Tokenizer

from pointsman.benchmarks.latency import cells, document, measure, prompts_of
from pointsman.cli import main

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ["fix the code, please", "write a poem about the sea"]


def test_each_call_is_timed_and_a_missing_peer_is_named(tiny_bundle: Path) -> None:
    told: list[tuple[int, int]] = []
    prompts = {12: TEXTS, 60: TEXTS[:1] * 2}
    speeds = measure(tiny_bundle, prompts, {"setfit": "/bin/false"}, 2, lambda done, total: told.append((done, total)))
    own, peer = speeds
    assert (own.name, own.missing, [one.tokens for one in own.latencies]) == ("pointsman", "", [12, 60])
    assert own.versions["pointsman"]
    assert own.load_cpu_ms > 0
    assert own.batch_per_s is not None
    for one in own.latencies:
        assert 0 < one.least <= one.p50 <= one.p99
        assert one.ratio == one.ratio_low == one.ratio_high == 1
    assert peer.missing
    table = cells(speeds)
    assert {len(row) for row in table} == {len(table[0])}
    assert "pip install setfit" in table[2][1]
    assert document(speeds, 7)["measured"][1]["missing"] == peer.missing
    assert told[-1] == (3, 3)


def test_prompts_have_their_length(tiny_bundle: Path) -> None:
    text = (tiny_bundle / "tokenizer.json").read_text()
    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_truncation()
    made = prompts_of(TEXTS, text, 60, 5)
    assert made == prompts_of(TEXTS, text, 60, 5), "the same seed gives the same prompts"
    for prompt in made:
        assert 60 <= len(tokenizer.encode(prompt).ids) < 70


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rounds", "0"], "--rounds is 0"),
        (["--peers", "nobody"], "'nobody' is unknown; allowed: litellm"),
        (["--peer-python", "setfit=/no/python"], "/no/python: no such interpreter"),
    ],
)
def test_bad_options_are_named(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(["benchmark", "latency", "--bundle", str(tiny_bundle), *options]) == 2
    assert said in capsys.readouterr().err
