"""Documents of settings: from a YAML file to a strict pydantic model, with errors that name file, line and key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pointsman.errors import PointsmanError
from pointsman.faults import at, fault, line, more
from pointsman.yaml_lines import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pointsman.yaml_lines import Key, Lines

__all__ = [
    "Count",
    "MisfitError",
    "Money",
    "Number",
    "Positive",
    "Share",
    "Strict",
    "checked",
    "described",
    "read_file",
]

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Money = Annotated[Number, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1, description="a number from 0 to 1")]
Count = Annotated[int, Field(strict=True, gt=0)]


class MisfitError(PointsmanError):
    """Parts of a document that do not fit each other: (key, what is wrong with it) each."""

    def __init__(self, faults: list[tuple[Key, str]]) -> None:
        super().__init__(f"{'.'.join(faults[0][0])} {faults[0][1]}{more(len(faults) - 1)}")
        self.faults = faults


class Strict(BaseModel):
    """A mapping of a document. A field's description says what is allowed, in errors and in the JSON Schema."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=Strict)


def described(allowed: str | None, default: Any = None) -> Any:
    """Return a field with a default and the words for what is allowed."""
    return Field(default, description=allowed)


def read_file(path: str | Path, error: type[PointsmanError]) -> tuple[Any, Lines]:
    """Return the document of a YAML file (None where it is empty) and the line of each of its keys.

    Raises
    ------
    PointsmanError
        Of the type `error`, where the file cannot be read, is no YAML, or gives a key twice.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as caught:
        raise error(f"{file}: cannot be read: {caught.strerror or caught}") from caught
    except UnicodeDecodeError as caught:
        raise error(f"{file}: not UTF-8 text: byte {caught.object[caught.start]:#04x} at {caught.start}") from caught
    return read_yaml(text, str(file), error)


def checked(
    kind: type[Model],
    document: Mapping[Any, Any],
    source: str,
    lines: Lines,
    error: type[PointsmanError],
    shown: Callable[[Key], Key] = tuple,
) -> Model:
    """Build a model from plain values.

    Parameters
    ----------
    kind : type
    document : mapping
    source : str
        Named in errors.
    lines : mapping of keys to their lines
    error : type
        What is raised.
    shown : callable, optional
        Where a key of the model stands in the document that was written.

    Raises
    ------
    PointsmanError
        Of the type `error`: one line for the first fault of the document, and the number of further ones.
    """
    try:
        return kind.model_validate(document)
    except MisfitError as misfit:
        faults = misfit.faults
    except ValidationError as invalid:
        faults = list(dict(fault(entry, kind) for entry in reversed(invalid.errors())).items())[::-1]
    ordered = sorted(((shown(path), text) for path, text in faults), key=lambda one: line(one[0], lines))
    path, text = ordered[0]
    raise error(f"{source}{at(path, lines)}: {'.'.join(path)} {text}{more(len(faults) - 1)}")
