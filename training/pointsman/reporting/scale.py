"""The axes of a picture and its frame: as wide as a phone, with title and description for who cannot see it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["HEIGHT", "LEFT", "LETTER", "WIDTH", "Scale", "picture"]

WIDTH, HEIGHT = 360, 300
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 12, 40
LETTER = 6.0
"""Width of a letter, units of the picture: enough for what fonts differ by."""


class Scale:
    """A logarithmic axis across and a linear or logarithmic one up, with room around the points.

    Parameters
    ----------
    xs, ys : sequence of float
        Values that must fit.
    log_y : bool
    """

    def __init__(self, xs: Sequence[float], ys: Sequence[float], *, log_y: bool = False) -> None:
        self._log_y = log_y
        ys = [self._up_by(y) for y in ys]
        logs = [math.log10(x) for x in xs if x > 0]
        self._low, self._high = min(logs), max(logs)
        room = max(0.08 * (self._high - self._low), 0.03)
        self._low, self._high = self._low - room, self._high + 1.6 * room
        self._down, self._up = min(ys), max(ys)
        room = max(0.08 * (self._up - self._down), 0.05 if log_y else 0.5)
        self._down, self._up = self._down - room, self._up + room

    def _up_by(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self._log_y else value

    def x(self, cost: float) -> float:
        """Return where a value stands across; one beyond the edge stands on it."""
        part = (math.log10(max(cost, 1e-300)) - self._low) / (self._high - self._low)
        return LEFT + min(max(part, 0.0), 1.0) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Return where a value stands from above."""
        part = (self._up_by(value) - self._down) / (self._up - self._down)
        return TOP + (1 - min(max(part, 0.0), 1.0)) * (HEIGHT - TOP - BOTTOM)

    def axes(self, across: str, up: str) -> list[str]:
        """Return frame, grid and words of the axes."""
        size = f'width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"'
        parts = [f'<rect class="frame" x="{LEFT}" y="{TOP}" {size}/>']
        last = -math.inf
        for value in _decimal(self._low, self._high):
            x = self.x(value)
            if x - last < 8 * LETTER:
                continue
            last = x
            parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}"/>')
            text = f"{value:.10f}".rstrip("0").rstrip(".")
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 13}" text-anchor="middle">{text}</text>')
        steps = _decimal(self._down, self._up) if self._log_y else _round_steps(self._down, self._up)
        for value in steps:
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{LEFT - 4}" y="{y + 3.5:.1f}" text-anchor="end">{value:,g}</text>')
        parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{across}</text>')
        middle = (TOP + HEIGHT - BOTTOM) / 2
        parts.append(f'<text transform="translate(9 {middle}) rotate(-90)" text-anchor="middle">{up}</text>')
        return parts


def _decimal(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 of each power of ten between two logarithms."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    values = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return [value for value in values if low <= math.log10(value) <= high]


def _round_steps(low: float, high: float, about: int = 5) -> list[float]:
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= raw)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def picture(title: str, description: str, width: int, height: int, parts: Sequence[str]) -> Markup:
    """Return the whole picture; the parts are safe already."""
    label = escape(f"{title}. {description}")
    return Markup(  # noqa: S704 - every name in it was escaped
        f'<svg class="picture" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{''.join(parts)}</svg>"
    )
