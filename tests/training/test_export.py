"""``pointsman export`` writes another gateway's configuration and says what that gateway cannot be told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from pointsman.bundle import load_bundle
from pointsman.commands import export
from pointsman.commands.export import TARGETS
from pointsman.errors import BundleError, PointsmanError

if TYPE_CHECKING:
    from argparse import Namespace

SOURCES = [str(Path(__file__).parents[2] / wing) for wing in ("features", "training", "policies", "exported")]


def options(*words: str) -> Namespace:
    from argparse import ArgumentParser

    parser = ArgumentParser()
    export.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("target", TARGETS)
def test_writes_a_file_and_says_what_is_missing(
    target: str, tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "config"
    assert export.run(options("--to", target, "--bundle", str(tiny_bundle), "--out", str(out))) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"wrote {out}\n{target} cannot express ")
    text = out.read_text(encoding="utf-8")
    parsed = [json.loads(text)] if target == "portkey" else list(yaml.safe_load_all(text))
    assert all(isinstance(one, dict) for one in parsed)
    for model in load_bundle(tiny_bundle).policy.models:
        assert model in text
    export.run(options("--to", target, "--bundle", str(tiny_bundle)))
    assert capsys.readouterr().out == text


def test_what_cannot_be_done_is_one_clear_error(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        export.run(options("--to", "portkey", "--bundle", str(tmp_path)))
    (tmp_path / "file").write_text("x")
    with pytest.raises(PointsmanError, match="cannot be written"):
        export.run(options("--to", "portkey", "--bundle", str(tiny_bundle), "--out", str(tmp_path / "file" / "x")))


def test_needs_the_slim_install_only(tiny_bundle: Path) -> None:
    heavy = ("pandas", "pyarrow", "sklearn", "torch", "pydantic", "yaml", "onnxruntime", "tokenizers", "grpc")
    code = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in heavy)
    code += "from pointsman.commands import export as e\nfrom argparse import Namespace\nfrom pathlib import Path\n"
    code += "e.run(Namespace(to=sys.argv[2], bundle=Path(sys.argv[1]), out=None))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(SOURCES)}
    for target in TARGETS:
        done = subprocess.run(
            [sys.executable, "-c", code, str(tiny_bundle), target], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
