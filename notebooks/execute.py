"""Run notebooks from their text and keep the outputs: ``python notebooks/execute.py [NAME…]``; without names, all."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
LIMIT_S = 600


def execute(source: Path, out: Path) -> float:
    """Run one notebook in a fresh kernel, write it with its outputs, and return how many seconds it took."""
    notebook = jupytext.read(source)
    started = time.monotonic()
    NotebookClient(
        notebook, timeout=LIMIT_S, kernel_name="python3", resources={"metadata": {"path": str(HERE)}}
    ).execute()
    took = time.monotonic() - started
    for number, cell in enumerate(notebook.cells):
        if "outputs" in cell:
            cell.outputs = [one for one in cell.outputs if not _of_the_machine(one)]
        cell.id = f"cell-{number:02d}"  # the same on every run: a difference in the file is one in what it shows
        for key in [key for key in cell.metadata if key != "tags"]:
            del cell.metadata[key]
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}} | {
        "jupytext": {"formats": "ipynb,py:percent"}
    }
    nbformat.write(notebook, out)
    return took


def _of_the_machine(output: nbformat.NotebookNode) -> bool:
    """Return whether an output is a library's warning: it tells of the machine, not of the story."""
    return output.get("name") == "stderr" and "Warning" in output.text


def main() -> None:
    """Run the notebooks that are named, or all, in order."""
    named = sys.argv[1:]
    for source in sorted(HERE.glob("[0-9]*.py")):
        if named and not any(name in source.name for name in named):
            continue
        took = execute(source, source.with_suffix(".ipynb"))
        sys.stdout.write(f"{source.stem}: {took:.0f} s\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
