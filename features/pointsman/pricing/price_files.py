"""Reading price tables: CSV, YAML or JSON with USD per million tokens, and LiteLLM's map with USD per token."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from pointsman.costs import RATES, Price
from pointsman.errors import SpecError
from pointsman.faults import at, near, said
from pointsman.pricing.prices import ALWAYS, PriceTable
from pointsman.yaml_lines import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from pointsman.yaml_lines import Key

__all__ = ["read_prices"]

_NEEDED = ("model", *RATES[:2])
_DATE = "valid_from"
_PER_TOKEN = {
    "input_cost_per_token": RATES[0],
    "output_cost_per_token": RATES[1],
    "cache_read_input_token_cost": RATES[2],
    "cache_creation_input_token_cost": RATES[3],
    "output_cost_per_reasoning_token": RATES[4],
}
"""LiteLLM's names of the rates, USD per token."""
_NO_MODELS = frozenset({"sample_spec", "fallback_generalizations"})
"""Entries of LiteLLM's map that are no models."""


class _Entry(NamedTuple):
    """One price as it stands in a file; `place` says where one of its values stands."""

    model: str
    values: Mapping[str, Any]
    place: Callable[[str], str]


def read_prices(path: Path) -> PriceTable:
    """Read a price table.

    - CSV (any suffix but those below): ``model, input_usd_per_mtok, output_usd_per_mtok`` and, where wanted,
      ``cached_input_usd_per_mtok``, ``cache_write_usd_per_mtok``, ``reasoning_usd_per_mtok`` and ``valid_from`` (ISO
      date; several rows per model). Blank: not known; a blank date: from ever. Other columns are passed over.
    - YAML (``.yaml``, ``.yml``) or JSON (``.json``): a mapping of models to the same keys, or to a list of such
      mappings with dates.
    - LiteLLM's ``model_prices_and_context_window.json``; entries without a price per token are passed over.

    Raises
    ------
    SpecError
        Where the file cannot be read or a value in it is not allowed; one line with file, line and value.
    """
    suffix = path.suffix.lower()
    try:
        if suffix not in {".json", ".yaml", ".yml"}:
            return _table(_csv_entries(path))
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, csv.Error) as error:
        kind = "CSV" if suffix not in {".json", ".yaml", ".yml"} else "UTF-8 text"
        raise SpecError(f"{path}: not a readable {kind}: {error}") from error
    if suffix == ".json":
        document, line = _json(text, path), _json_line(text)
    else:
        document, lines = read_yaml(text, str(path), SpecError)

        def line(key: Key) -> str:
            return at(key, lines)

    if not isinstance(document, Mapping):
        raise SpecError(f"{path}: is {said(document)}; a mapping of models to prices is allowed")
    entries = _per_token(document, path, line) if _is_per_token(document) else _per_million(document, path, line)
    return _table(entries)


def _table(entries: Iterable[_Entry]) -> PriceTable:
    prices: dict[str, dict[float, Price]] = {}
    for model, values, place in entries:
        start = _start(values.get(_DATE), place)
        dated = prices.setdefault(model, {})
        if start in dated:
            if start == ALWAYS:
                raise SpecError(f"{place('model')} is {model!r}, listed before; each model once is allowed")
            date = said(values[_DATE])
            raise SpecError(f"{place(_DATE)} is {date}, given before for {model!r}; each date once is allowed")
        dated[start] = Price(**{name: _rate(values.get(name), name, place) for name in RATES})
    return PriceTable({model: list(dated.items()) for model, dated in prices.items()})


def _csv_entries(path: Path) -> Iterator[_Entry]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True, restval="", restkey="")
        columns = list(reader.fieldnames or [])
        missing = [name for name in _NEEDED if name not in columns]
        if missing:
            s, needed = "s" * (len(missing) > 1), ", ".join(_NEEDED)
            raise SpecError(f"{path}: missing column{s} {', '.join(missing)}; needed: {needed}")
        for name in columns:
            if name.endswith("_usd_per_mtok") and name not in RATES:
                raise SpecError(f"{path}: column {name!r} is no rate{near(name, RATES)}; allowed: {', '.join(RATES)}")
        for row in reader:
            line = f"{path}, line {reader.line_num}"
            if "" in row:
                raise SpecError(f"{line}: more cells than the header's {len(row) - 1}")
            model = row["model"].strip()
            if not model:
                raise SpecError(f"{line}: model is nothing; a model's name is needed")
            yield _Entry(model, row, lambda name, line=line: f"{line}: {name}")  # type: ignore[misc]


def _per_million(document: Mapping[str, Any], path: Path, line: Callable[[Key], str]) -> Iterator[_Entry]:
    allowed = (*RATES, _DATE)
    for model, held in document.items():
        dated = held if isinstance(held, list) else [held]
        for index, values in enumerate(dated):
            key = (str(model), str(index)) if isinstance(held, list) else (str(model),)
            name = ".".join(key)
            if not isinstance(values, Mapping):
                words = f"a mapping with the keys {', '.join(allowed)}, or a list of them"
                raise SpecError(f"{path}{line(key)}: {name} is {said(values)}; allowed: {words}")
            for one in values:
                if one not in allowed:
                    raise SpecError(
                        f"{path}{line((*key, str(one)))}: {name}.{one} is an unknown key{near(str(one), allowed)}; "
                        f"allowed: {', '.join(allowed)}"
                    )
            yield _Entry(str(model), values, _placed(path, line, key))


def _is_per_token(document: Mapping[str, Any]) -> bool:
    marks = {*_PER_TOKEN, "litellm_provider"}
    return any(isinstance(values, Mapping) and not marks.isdisjoint(values) for values in document.values())


def _per_token(document: Mapping[str, Any], path: Path, line: Callable[[Key], str]) -> Iterator[_Entry]:
    for model, held in document.items():
        if model in _NO_MODELS or not isinstance(held, Mapping) or held.get("input_cost_per_token") is None:
            continue
        place = _placed(path, line, (str(model),))
        rates = {rate: _rate(held.get(name), name, place) for name, rate in _PER_TOKEN.items()}
        # Twelve digits: 5e-08 is 0.05 a million, not 0.049999999999999996.
        yield _Entry(model, {name: rate and float(f"{rate * 1e6:.12g}") for name, rate in rates.items()}, place)


def _placed(path: Path, line: Callable[[Key], str], key: Key) -> Callable[[str], str]:
    return lambda name: f"{path}{line((*key, name))}: {'.'.join((*key, name))}"


def _json(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{path}: not JSON: {error}") from error


def _json_line(text: str) -> Callable[[Key], str]:
    """Return what finds the line where the entry of a key's model starts; "" where it is written in another way."""

    def line(key: Key) -> str:
        found = re.search(re.escape(json.dumps(key[0], ensure_ascii=False)) + r"\s*:", text)
        return f", line {text.count(chr(10), 0, found.start()) + 1}" if found else ""

    return line


def _start(value: Any, place: Callable[[str], str]) -> float:
    """Return the Unix microsecond from which a price is in force."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return ALWAYS
    try:
        date = datetime.fromisoformat(value.strip())
        return round((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() * 1e6)
    except (AttributeError, ValueError, OverflowError):
        words = "a date (ISO 8601, UTC where no zone is given) is allowed"
        raise SpecError(f"{place(_DATE)} is {said(value)}; {words}") from None


def _rate(value: Any, name: str, place: Callable[[str], str]) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        rate = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        rate = math.nan
    if not (math.isfinite(rate) and rate >= 0):
        shown = said(value.strip() if isinstance(value, str) else value)
        raise SpecError(f"{place(name)} is {shown}; a number of at least 0 is allowed")
    return rate
