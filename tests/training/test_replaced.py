"""A fit says what it replaces: the older bundle is compared from memory, and the changelog gets an entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pointsman.changelog import changelog_of
from pointsman.cli import main
from pointsman.replaced import NotComparedWarning, previous_bundle
from pointsman.sample_week import sample_week

if TYPE_CHECKING:
    from pathlib import Path


def test_a_second_fit_writes_what_it_changed(
    tmp_path: Path, make_encoder: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    week = sample_week(seed=1, requests=300)
    week.traces.to_parquet(tmp_path / "t.parquet")
    make_encoder(tmp_path / "encoder")

    def fit(**spec: Any) -> str:
        (tmp_path / "s.yaml").write_text(yaml.safe_dump({**week.spec, **spec}), encoding="utf-8")
        words = ["fit", "--traces", tmp_path / "t.parquet", "--spec", tmp_path / "s.yaml", "--out", tmp_path / "b"]
        words += ["--encoder", tmp_path / "encoder" / "model", "--no-tracking", "--cache", tmp_path / "cache"]
        assert main([*map(str, words), "--trials", "8"]) in {0, 1}
        return capsys.readouterr().out

    none = {"constraints": {}, "certificate": "none"}
    assert "changelog" not in fit(**none, objective={"useless_response_usd": 5.0})
    assert "changelog:" in fit(**none, objective={"useless_response_usd": 0.0001})
    text = changelog_of(tmp_path / "b").read_text()
    assert "b after the bundle before" in text
    assert "of 60 unseen requests" in text
    named = previous_bundle(tmp_path / "b", tmp_path / "elsewhere")
    assert named is not None
    assert named.bundle.path == tmp_path / "b"


def test_a_bundle_that_does_not_load_is_warned_of(tmp_path: Path) -> None:
    assert previous_bundle(None, tmp_path / "none") is None
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.warns(NotComparedWarning, match="does not load"):
        assert previous_bundle(None, tmp_path) is None
