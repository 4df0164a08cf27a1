"""The notebooks run from beginning to end, on a small week; what is committed was run, and is what its text says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest

HERE = Path(__file__).resolve().parents[2] / "notebooks"
SOURCES = sorted(HERE.glob("[0-9]*.py"))


def test_there_are_six() -> None:
    assert [source.name[:2] for source in SOURCES] == ["01", "02", "03", "04", "05", "06"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_the_committed_notebook_is_its_text_and_was_run(source: Path) -> None:
    text = jupytext.read(source)
    kept = json.loads(source.with_suffix(".ipynb").read_text(encoding="utf-8"))
    assert ["".join(cell["source"]) for cell in kept["cells"]] == [cell.source for cell in text.cells]
    code = [cell for cell in kept["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code), "run: make notebooks"
    assert sum(bool(cell["outputs"]) for cell in code) >= len(code) // 2
    assert "Traceback" not in json.dumps([cell["outputs"] for cell in code])
    assert not re.search(r"/(tmp|work|root|home)/", json.dumps([cell["outputs"] for cell in code]))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_it_runs(source: Path, work: Path) -> None:
    """They share what is fitted, as a reader's do."""
    small = {"POINTSMAN_NOTEBOOK_REQUESTS": "700", "POINTSMAN_NOTEBOOK_TRIALS": "6"}
    environment = os.environ | small | {"POINTSMAN_NOTEBOOK_WORK": str(work), "OMP_NUM_THREADS": "1"}
    script = f"import sys; sys.path.insert(0, {str(HERE)!r}); from pathlib import Path; import execute; "
    script += f"execute.execute(Path({str(source)!r}), Path({str(work / source.with_suffix('.ipynb').name)!r}))"
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
