"""YAML as settings are written: plain values of YAML 1.2, keys as texts, the line of each key, no key twice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.errors import PointsmanError

__all__ = ["Key", "Lines", "read_yaml", "write_yaml"]

Key = tuple[str, ...]
Lines = Mapping[Key, int]
"""The line of each key, counted from 1."""


def read_yaml(text: str, source: str, error: type[PointsmanError]) -> tuple[Any, Lines]:
    """Return the document of a YAML text (None where it is empty) and the line of each of its keys.

    Parameters
    ----------
    text : str
    source : str
        Named in errors.
    error : type
        What is raised.

    Raises
    ------
    PointsmanError
        Of that type, where the text is no YAML, or gives a key twice.
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines = dict(_lines(node, source, error))
        return None if node is None else loader.construct_document(node), lines
    except yaml.MarkedYAMLError as caught:
        mark = caught.problem_mark or caught.context_mark
        at = f", line {mark.line + 1}" if mark else ""
        raise error(f"{source}{at}: not YAML: {caught.problem or caught.context}") from caught
    except (yaml.YAMLError, ValueError, RecursionError) as caught:
        raise error(f"{source}: not YAML: {' '.join(str(caught).split())}") from caught
    finally:
        if loader is not None:
            loader.dispose()


def write_yaml(document: Any) -> str:
    """Return plain values as YAML that `read_yaml` and YAML 1.1 readers read back as they are."""
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def _lines(
    node: yaml.Node | None, source: str, error: type[PointsmanError], path: Key = (), around: tuple[int, ...] = ()
) -> Iterator[tuple[Key, int]]:
    """Give each key's path and line, counted from 1; refuse a key given twice."""
    if node is None or id(node) in around:
        return
    around = (*around, id(node))
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                said = ".".join((*path, name))
                raise error(
                    f"{source}, line {line}: {said} is given twice (first on line {seen[name]}); once is allowed"
                )
            seen[name] = line
            yield (*path, name), line
            yield from _lines(value, source, error, (*path, name), around)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, str(index)), value.start_mark.line + 1
            yield from _lines(value, source, error, (*path, str(index)), around)


class _Loader(yaml.SafeLoader):
    """Reads plain values as YAML 1.2's core schema does, and scalar keys as texts."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (its type in PyYAML)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        self.flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> float:
        text = str(node.value).replace("_", "").lower()
        return int(text) if node.tag.endswith(":int") else float(text.replace(".inf", "inf").replace(".nan", "nan"))


class _Dumper(yaml.SafeDumper):
    """Quotes every text that YAML 1.1 or `_Loader` would read as something else."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


_PLAIN = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?\d[\d_]*", list("-+0123456789")),
    "float": (
        r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": (r"<<", ["<"]),
}
for _name, (_pattern, _first) in _PLAIN.items():
    for _one in (_Loader, _Dumper):
        _one.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"(?:{_pattern})$"), _first)
for _name in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_name}", _Loader.construct_number)
