"""A family of prompts: the templates of one intent and the additions that make a request harder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """Templates of one intent.

    Parameters
    ----------
    templates
        One template a line.
    demands
        Additions (constraints, conditions, second hops), one a line; a harder request carries more of them.
    foreign
        Templates in other languages, one a line.
    """

    templates: str
    demands: str
    foreign: str
