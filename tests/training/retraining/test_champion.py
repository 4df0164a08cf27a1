"""What serves: moved in one step, the one before kept, one command back; links and MLflow's registry alike."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from pointsman.bundle import load_bundle, write_bundle
from pointsman.cli import main
from pointsman.errors import BundleError
from pointsman.retraining.champion import LinkPointer, RegistryPointer
from pointsman.retraining.lock import BusyError, alone
from pointsman.retraining.record import record_of
from pointsman.router import Router
from pointsman.tracking import Registry, Store

if TYPE_CHECKING:
    from pathlib import Path


def again(bundle: Path, out: Path) -> Path:
    """Write a bundle once more, under another name."""
    old = load_bundle(bundle)
    return write_bundle(
        out,
        graph=old.read("model.onnx"),
        tokenizer_json=old.read("tokenizer.json").decode(),
        policy=old.policy,
        conformance=[],
        model_card="",
        model_io=old.io,
        provenance={"run_id": out.name},
        seen=[],
    )


@pytest.fixture
def bundles(tiny_bundle: Path, tmp_path: Path) -> tuple[Path, Path]:
    return again(tiny_bundle, tmp_path / "week1"), again(tiny_bundle, tmp_path / "week2")


def test_a_link_moves_keeps_the_one_before_and_comes_back(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = bundles
    pointer = LinkPointer(tmp_path / "champion")
    pointer.promote(first)
    pointer.promote(second)
    assert pointer.bundle() == second
    assert pointer.previous.resolve() == first
    assert Router.load(pointer.link).bundle.name == "week2"
    pointer.back()
    assert pointer.bundle() == first
    assert pointer.previous.resolve() == second
    assert "already" in pointer.promote(first)


def test_a_folder_is_never_replaced_by_a_link(bundles: tuple[Path, Path]) -> None:
    with pytest.raises(BundleError, match="a folder, no link"):
        LinkPointer(bundles[0]).promote(bundles[1])
    with pytest.raises(BundleError, match="no previous"):
        LinkPointer(bundles[0]).back()


def test_the_registrys_alias_moves_and_comes_back(bundles: tuple[Path, Path], tmp_path: Path) -> None:
    registry = Registry(Store(f"sqlite:///{tmp_path / 'mlflow.db'}"), "router")
    pointer = RegistryPointer(registry, tmp_path / "fetched")
    with pytest.raises(BundleError, match="no champion"):
        pointer.bundle()
    pointer.promote(bundles[0])
    assert "version 1 is kept as previous" in pointer.promote(bundles[1])
    assert load_bundle(pointer.bundle()).name == "week2"
    pointer.promote(bundles[1])
    assert len(registry.versions()) == 2  # known by its hash, not registered twice
    pointer.back()
    assert load_bundle(pointer.bundle()).name == "week1"


def test_promote_goes_by_the_record(
    bundles: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing serves: anything may. Then only what was judged, against what serves, and passed."""
    link, (first, second) = str(tmp_path / "champion"), bundles
    assert main(["promote", "--bundle", str(first), "--champion", link]) == 0
    assert main(["promote", "--bundle", str(second), "--champion", link]) == 2
    assert "no record" in capsys.readouterr().err
    versions = [str(load_bundle(one).manifest["sha256"]) for one in bundles]
    record = {"challenger": versions[1], "champion": versions[0]}
    shut = {"holds": False, "conditions": [{"name": "gain", "holds": False, "text": "gains nothing"}]}
    record_of(second).write_text(json.dumps({**record, "gate": shut}))
    assert main(["promote", "--bundle", str(second), "--champion", link]) == 1
    assert "gains nothing" in capsys.readouterr().err
    record_of(second).write_text(json.dumps({**record, "champion": "other", "gate": {"holds": True}}))
    assert main(["promote", "--bundle", str(second), "--champion", link]) == 2
    record_of(second).write_text(json.dumps({**record, "gate": {"holds": True, "conditions": []}}))
    assert main(["promote", "--bundle", str(second), "--champion", link]) == 0
    assert LinkPointer(tmp_path / "champion").bundle() == second
    assert main(["promote", "--back", "--champion", link]) == 0
    assert LinkPointer(tmp_path / "champion").bundle() == first


def test_a_lock_is_held_by_one_and_freed_by_a_kill(tmp_path: Path) -> None:
    file = tmp_path / ".champion.lock"
    code = (
        "import sys, time; from pathlib import Path; from pointsman.retraining.lock import alone\n"
        "with alone(Path(sys.argv[1])):\n print('held', flush=True); time.sleep(600)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(file)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BusyError) as busy, alone(file):
            pass
        assert busy.value.exit_code == 3
    finally:
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
    for _ in range(100):
        try:
            with alone(file):
                return
        except BusyError:
            time.sleep(0.1)
    pytest.fail("the lock of a killed process is not free")
