"""The tuning problem as one file: what a worker on another machine needs to join. No pickle, no prompt text."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pointsman.decide import Beliefs
from pointsman.errors import PointsmanError
from pointsman.objective import Objective
from pointsman.replay import COLUMNS, ESTIMATED, Served
from pointsman.spec import RoutingSpec, parse_spec
from pointsman.study import SAMPLERS, Sampler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pointsman.outcomes import Outcomes

__all__ = ["ProblemError", "TuningProblem", "load_problem"]

FORMAT = 1
"""Version of the file; another one is refused."""


class ProblemError(PointsmanError):
    """The file is no tuning problem, is cut off, or is of another version."""


@dataclass(frozen=True, eq=False)
class TuningProblem:
    """All that a search works with.

    Attributes
    ----------
    beliefs : Beliefs
        Of n requests and m candidates.
    outcomes : mapping of str to (n, m) float64 array
        The columns by which answers are measured, fallbacks folded in.
    before : Served
        What the baseline got.
    spec : RoutingSpec
    models : tuple of str
        Candidates, cheap to dear.
    study_name : str
    n_trials : int
        Finished trials in all, whoever runs them.
    sampler : str
    seed : int
        Of the search; each worker draws its own.
    """

    beliefs: Beliefs
    outcomes: Mapping[str, NDArray[np.float64]]
    before: Served
    spec: RoutingSpec
    models: tuple[str, ...]
    study_name: str
    n_trials: int
    sampler: Sampler = "auto"
    seed: int = 0

    def objective(self) -> Objective:
        """Return the objective on the problem's requests."""
        # Of outcomes, an objective reads the columns by which answers are measured, and their number.
        return Objective(cast("Outcomes", _Columns(self.models, **self.outcomes)), self.before, self.spec)

    def save(self, path: str | Path) -> Path:
        """Write the problem as an ``.npz`` file, at once or not at all, and return its path.

        Prompts, request ids and free texts stay out of it; names of candidates, intents and constraints are in it.
        """
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        arrays, texts = _parts("beliefs", self.beliefs)
        served, _ = _parts("before", self.before)
        columns = {f"outcomes.{name}": values for name, values in self.outcomes.items()}
        said = {
            "format": FORMAT,
            "spec": self.spec.model_dump(mode="json", exclude_unset=True),
            "models": self.models,
            "study_name": self.study_name,
            "n_trials": self.n_trials,
            "sampler": self.sampler,
            "seed": self.seed,
            "texts": texts,
        }
        written = np.frombuffer(json.dumps(said).encode(), dtype=np.uint8)
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".npz", delete=False) as draft:
            try:
                parts: dict[str, Any] = {**arrays, **served, **columns, "said": written}
                np.savez(draft, **{name: array for name, array in parts.items() if not _unknown(array)})
                draft.flush()
                os.fsync(draft.fileno())
                Path(draft.name).replace(file)
            except BaseException:
                Path(draft.name).unlink(missing_ok=True)
                raise
        return file


@dataclass(frozen=True, eq=False)
class _Columns:
    """The measured columns of outcomes, (n, m) each."""

    models: tuple[str, ...]
    useful: NDArray[np.float64]
    cost_usd: NDArray[np.float64]
    latency_ms: NDArray[np.float64]
    hallucinated: NDArray[np.float64]
    late: NDArray[np.float64] | None = None
    importance: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.useful)


def load_problem(path: str | Path) -> TuningProblem:
    """Read a tuning problem.

    Raises
    ------
    ProblemError
        Where the file cannot be read, or is not what `TuningProblem.save` writes.
    """
    file = Path(path)
    try:
        with np.load(file, allow_pickle=False) as parts:
            arrays = {name: parts[name] for name in parts.files}
        said = json.loads(arrays.pop("said").tobytes())
        if said["format"] != FORMAT:
            raise ProblemError(f"{file}: format {said['format']!r}; this release reads {FORMAT}")
        n, m = arrays["before.useful"].shape[0], len(said["models"])
        outcomes = {name: arrays.get(f"outcomes.{name}", np.full((n, m), np.nan)) for name in COLUMNS}
        outcomes |= {name: arrays[f"outcomes.{name}"] for name in ESTIMATED if f"outcomes.{name}" in arrays}
        texts: dict[str, Any] = {name: tuple(names) for name, names in said["texts"].items()}
        problem = TuningProblem(
            beliefs=Beliefs(**_fields("beliefs", arrays), **texts),
            outcomes=outcomes,
            before=Served(**{"hallucinated": np.full(n, np.nan), **_fields("before", arrays)}),
            spec=parse_spec(said["spec"], str(file)),
            models=tuple(said["models"]),
            study_name=str(said["study_name"]),
            n_trials=int(said["n_trials"]),
            sampler=said["sampler"],
            seed=int(said["seed"]),
        )
    except OSError as error:
        raise ProblemError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()
        raise ProblemError(f"{file}: no tuning problem, or cut off: {reason[0] if reason else 'empty'}") from error
    shapes = {array.shape for array in outcomes.values()} | {problem.beliefs.query_useful.T.shape}
    if shapes != {(n, m)} or problem.sampler not in SAMPLERS:
        raise ProblemError(f"{file}: its parts do not fit each other: {sorted(shapes)}, sampler {problem.sampler!r}")
    return problem


def _parts(prefix: str, record: Any) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return a dataclass's arrays by name, and its names of candidates or intents."""
    entries = {entry.name: getattr(record, entry.name) for entry in fields(record)}
    arrays = {f"{prefix}.{name}": value for name, value in entries.items() if isinstance(value, np.ndarray)}
    return arrays, {name: list(value) for name, value in entries.items() if isinstance(value, tuple)}


def _fields(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    named = f"{prefix}."
    return {name.removeprefix(named): array for name, array in arrays.items() if name.startswith(named)}


def _unknown(array: NDArray[Any]) -> bool:
    """Return whether nothing in an array is known: it need not be written."""
    return array.dtype.kind == "f" and bool(np.isnan(array).all())
