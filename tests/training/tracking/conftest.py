"""Empty stores, made once and copied: MLflow lays its tables in seconds, a copy takes none."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from pointsman.tracking import Store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    assert Store(f"sqlite:///{file}").client.search_experiments()
    return file


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> Store:
    return Store(f"sqlite:///{shutil.copy(empty_store, tmp_path / 'mlflow.db')}")
