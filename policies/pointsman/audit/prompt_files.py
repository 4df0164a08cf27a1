"""Files of prompts: evaluation sets, and sets with expected routes that a user can extend."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.audit.demo_bias import Sample
from pointsman.errors import ConfigError
from pointsman.policy import MODALITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["EXPECTATIONS", "SETS", "PromptCase", "packaged", "read_cases", "read_sample"]

SETS = ("brittleness", "adversarial", "stress")
"""Prompt sets that come with the package."""

EXPECTATIONS = ("intent", "model", "not_model", "same_as", "not_dearer_than", "able")
"""What a case can expect of its route; see AUDIT.md."""

_KEYS = ("id", "kind", "prompt", "repeat", "modality", "context_tokens", "intent", "expect", "note")


@dataclass(frozen=True)
class PromptCase:
    """A prompt and what is expected of its route.

    Attributes
    ----------
    prompt : str
    id : str
        The line's number where it has none.
    kind : str
        What is tried with it; "" for an ordinary prompt.
    modality : str
    context_tokens : int
    intent : str
        What the user wants, where the file tells; "" elsewhere.
    expect : mapping
        See `EXPECTATIONS`.
    """

    prompt: str
    id: str
    kind: str = ""
    modality: str = "text"
    context_tokens: int = 0
    intent: str = ""
    expect: Mapping[str, Any] = field(default_factory=dict)


def packaged(name: str) -> tuple[PromptCase, ...]:
    """Return one of the prompt sets of the package: `SETS`."""
    path = files("pointsman.audit") / "prompts" / f"{name}.jsonl"
    return tuple(_cases(path.read_text(encoding="utf-8").splitlines(), f"{name}.jsonl"))


def read_cases(path: str | Path) -> tuple[PromptCase, ...]:
    """Read a set of prompts with expected routes: JSON lines, or CSV with columns of the same names.

    Raises
    ------
    ConfigError
        Where the file cannot be read, or a line breaks the format: the message names line, key and what is allowed.
    """
    file = Path(path)
    text = _text(file)
    if file.suffix.lower() == ".csv":
        entries = [
            {key: value for key, value in row.items() if value not in {None, ""}}
            for row in csv.DictReader(text.splitlines())
        ]
        cases = tuple(_case(_of_csv(entry, file, at), str(file), at) for at, entry in enumerate(entries, start=2))
    else:
        cases = tuple(_cases(text.splitlines(), str(file)))
    if not cases:
        raise ConfigError(f"{file}: no prompt in it; one JSON object a line is needed, with the key prompt")
    known = {case.id for case in cases}
    for case in cases:
        for name in ("same_as", "not_dearer_than"):
            if (of := case.expect.get(name)) is not None and of not in known:
                raise ConfigError(f"{file}: case {case.id}: expect.{name} is {of!r}, the id of no case of the file")
    return cases


def read_sample(path: str | Path) -> Sample:
    """Read evaluation prompts: a trace table, JSON lines or CSV with prompt (and intent), or a text with one a line.

    Raises
    ------
    ConfigError
        Where the file cannot be read, or holds no prompt.
    """
    file = Path(path)
    if file.suffix.lower() == ".parquet":
        import pandas as pd

        try:
            frame = pd.read_parquet(file)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{file}: not a readable Parquet file: {error}") from error
        entries = [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False, name=None)]
    elif file.suffix.lower() == ".csv":
        entries = list(csv.DictReader(_text(file).splitlines()))
    elif file.suffix.lower() in {".jsonl", ".ndjson", ".json"}:
        entries = [dict(entry) for _, entry in _objects(_text(file).splitlines(), str(file))]
    else:
        entries = [{"prompt": line} for line in _text(file).splitlines() if line.strip()]
    found: dict[str, tuple[str, str]] = {}
    for at, entry in enumerate(entries):
        if isinstance(entry.get("prompt"), str) and entry["prompt"].strip():
            intent = entry.get("intent")
            key = str(entry.get("request_id", at))
            found.setdefault(key, (entry["prompt"], intent if isinstance(intent, str) else ""))
    if not found:
        raise ConfigError(f"{file}: no prompt in it; a column or key called prompt is needed, or one prompt a line")
    prompts, intents = zip(*found.values(), strict=True)
    return Sample(prompts, intents if any(intents) else None)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _objects(lines: list[str], source: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for at, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{source}, line {at}: not JSON: {error}") from error
        if not isinstance(entry, dict):
            raise ConfigError(f"{source}, line {at}: a JSON object is needed, got {type(entry).__name__}")
        yield at, entry


def _cases(lines: list[str], source: str) -> Iterator[PromptCase]:
    for at, entry in _objects(lines, source):
        yield _case(entry, source, at)


def _of_csv(entry: Mapping[str, str], file: Path, at: int) -> dict[str, Any]:
    """Return a row of a CSV as the object that a line of JSON would hold: expect.KEY columns make its expect."""
    plain: dict[str, Any] = {key: value for key, value in entry.items() if not key.startswith("expect.")}
    for key in ("repeat", "context_tokens"):
        if key in plain:
            try:
                plain[key] = int(plain[key])
            except ValueError as error:
                raise ConfigError(f"{file}, line {at}: {key} is {plain[key]!r}; a whole number is allowed") from error
    expect = {key.removeprefix("expect."): value for key, value in entry.items() if key.startswith("expect.")}
    return {**plain, "expect": expect} if expect else plain


def _case(entry: Mapping[str, Any], source: str, at: int) -> PromptCase:
    where = f"{source}, line {at}"
    for key in entry:
        if key not in _KEYS:
            raise ConfigError(f"{where}: the unknown key {key!r}; allowed: {', '.join(_KEYS)}")
    if not isinstance(entry.get("prompt"), str):
        raise ConfigError(f"{where}: prompt is {entry.get('prompt')!r}; a text is needed")
    modality, repeat, context = entry.get("modality", "text"), entry.get("repeat", 1), entry.get("context_tokens", 0)
    if modality not in MODALITIES:
        raise ConfigError(f"{where}: modality is {modality!r}; allowed: {', '.join(MODALITIES)}")
    for key, number, least in (("repeat", repeat, 1), ("context_tokens", context, 0)):
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            raise ConfigError(f"{where}: {key} is {number!r}; a whole number of at least {least} is allowed")
    expect = entry.get("expect", {})
    if not isinstance(expect, dict) or set(expect) - set(EXPECTATIONS):
        raise ConfigError(f"{where}: expect is {expect!r}; allowed: an object with {', '.join(EXPECTATIONS)}")
    return PromptCase(
        prompt=entry["prompt"] * repeat,
        id=str(entry.get("id", at)),
        kind=str(entry.get("kind", "")),
        modality=modality,
        context_tokens=context,
        intent=str(entry.get("intent", "")),
        expect=expect,
    )
