"""Versions of the routing model: registered from runs and folders, one champion whatever is cut off, fetched whole."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import mlflow
import pytest

from pointsman.bundle import load_bundle
from pointsman.errors import BundleError
from pointsman.manifest import sign
from pointsman.router import Router
from pointsman.tracking import CHALLENGER, CHAMPION, PREVIOUS, Registry, TrackingError

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.tracking import Store


def other(bundle: Path, folder: Path) -> Path:
    """Return a copy that says another date, and so is another bundle."""
    shutil.copytree(bundle, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"]
    (folder / "manifest.json").write_bytes(sign({**manifest, "created": "2026-01-01T00:00:00+00:00"}))
    return folder


@pytest.fixture(scope="module")
def second(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return other(tiny_bundle, tmp_path_factory.mktemp("second") / "second")


@pytest.fixture
def registry(store: Store) -> Registry:
    return Registry(store, "week router")


def test_a_bundle_becomes_a_version_that_routes_and_comes_back_whole(
    registry: Registry, tiny_bundle: Path, tmp_path: Path
) -> None:
    assert registry.champion() is None
    version = registry.register_bundle(tiny_bundle, CHAMPION, {"why": "first"})
    assert (version.number, version.aliases, version.tags["why"]) == ("1", (CHAMPION,), "first")
    assert registry.champion() == version
    fetched = registry.download(version, tmp_path / "fetched")
    for file in tiny_bundle.iterdir():
        assert (fetched / file.name).read_bytes() == file.read_bytes(), file.name
    assert Router.load(fetched).route("what is this") == Router.load(tiny_bundle).route("what is this")


def test_promoting_keeps_the_former_champion_and_rolling_back_is_one_call(
    registry: Registry, tiny_bundle: Path, second: Path, tmp_path: Path
) -> None:
    registry.register_bundle(tiny_bundle, CHAMPION)
    challenger = registry.register_bundle(second, CHALLENGER)
    champion, former = registry.promote(challenger.number)
    assert (champion.number, champion.aliases) == ("2", (CHAMPION,))
    assert former is not None
    assert (former.number, former.aliases) == ("1", (PREVIOUS,))
    assert registry.at(CHALLENGER) is None
    back, replaced = registry.roll_back()
    assert (back.number, replaced.number) == ("1", "2")
    assert [one.aliases for one in registry.versions()] == [(PREVIOUS,), (CHAMPION,)]
    folder = registry.download(back, tmp_path / "serving")
    registry.download(replaced, folder)
    assert load_bundle(folder).manifest == load_bundle(second).manifest, "a bundle in the way is replaced"


@pytest.mark.parametrize("calls", range(1, 4))
def test_a_promotion_that_is_cut_off_leaves_a_champion(
    registry: Registry, tiny_bundle: Path, second: Path, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register_bundle(tiny_bundle, CHAMPION)
    registry.register_bundle(second, CHALLENGER)
    left = calls

    def cut(call: Any) -> Any:
        def counted(*words: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
            return call(*words)

        return counted

    with monkeypatch.context() as patch:
        patch.setattr(registry, "set_alias", cut(registry.set_alias))
        patch.setattr(registry, "drop_alias", cut(registry.drop_alias))
        with pytest.raises(KeyboardInterrupt):
            registry.promote("2")
    champion = registry.champion()
    assert champion is not None
    registry.promote("2")
    former = registry.at(PREVIOUS)
    assert former is not None
    assert former.number == "1", "promoting again ends what was begun"


def test_the_same_bundle_again_is_the_same_logged_model(registry: Registry, tiny_bundle: Path, tmp_path: Path) -> None:
    """A run whose bundle is already there is not logged a second time: its hundred megabytes are kept once."""
    first = registry.register_bundle(tiny_bundle)
    assert registry.register(first.run_id).model_id == first.model_id
    manifest = json.loads((tiny_bundle / "manifest.json").read_text())
    del manifest["sha256"]
    manifest["provenance"]["run_id"] = first.run_id
    of_run = shutil.copytree(tiny_bundle, tmp_path / "of_run")
    (of_run / "manifest.json").write_bytes(sign(manifest))
    assert registry.register_bundle(of_run).model_id != first.model_id, "same run, other bytes: logged on its own"


def test_what_cannot_be_done_is_told_in_one_line(registry: Registry, tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"no previous champion"):
        registry.roll_back()
    with pytest.raises(TrackingError, match=r"register run 00.*not found"):
        registry.register("00")
    with pytest.raises(BundleError, match=r"manifest.json"):
        registry.register_bundle(tmp_path)
    version = registry.register_bundle(tiny_bundle, CHAMPION)
    with pytest.raises(TrackingError, match=r"version 7"):
        registry.promote("7")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(BundleError):
        registry.download(version, tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "keep me"


def test_a_logged_bundle_that_was_altered_is_not_fetched(registry: Registry, tiny_bundle: Path, tmp_path: Path) -> None:
    version = registry.register_bundle(tiny_bundle, CHAMPION)
    (kept,) = tmp_path.glob("mlartifacts/models/*/artifacts/bundle/policy.json")
    kept.write_bytes(kept.read_bytes().replace(b"0.7", b"0.9", 1))
    with pytest.raises(BundleError, match=r"policy.json"):
        registry.download(version, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_mlflow_loads_the_champion_by_its_alias(
    registry: Registry, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register_bundle(tiny_bundle, CHAMPION)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.store.uri)
    mlflow.set_tracking_uri(registry.store.uri)
    found = mlflow.pyfunc.load_model(f"models:/{registry.name}@{CHAMPION}").predict({"prompt": ["what is this"]})
    assert found["model"].tolist() == [Router.load(tiny_bundle).route("what is this").model]
