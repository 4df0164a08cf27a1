"""The template environment of a page: everything escaped, nothing undefined, the shared style and parts at hand."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

__all__ = ["page_environment"]


def page_environment(folder: Path) -> Environment:
    """Return an environment with the templates of `folder` and the shared ``style.css`` and ``parts.html.jinja``."""
    return Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
