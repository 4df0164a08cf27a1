"""Numbers as people read them: units, few digits, a true minus sign, intervals in brackets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["UNKNOWN", "change", "count", "ms", "per_thousand", "rate", "relative", "share", "signed", "spread", "usd"]

UNKNOWN = "–"
MINUS = "−"


def share(value: float | None, digits: int = 1) -> str:
    """Return a share in per cent."""
    return UNKNOWN if value is None else f"{100 * value:.{digits}f} %"


def count(value: float | None) -> str:
    """Return a count; of partly useful answers with one digit."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if abs(value - round(value)) < 0.05 else f"{value:,.1f}"


def ms(value: float | None) -> str:
    """Return a latency, ms; seconds from ten thousand on."""
    if value is None:
        return UNKNOWN
    return f"{value / 1000:,.1f} s" if value >= 10_000 else f"{value:,.0f} ms" if value >= 10 else f"{value:.2g} ms"


def usd(value: float | None) -> str:
    """Return an amount, USD, with three significant digits, never in powers of ten."""
    if value is None:
        return UNKNOWN
    size = abs(value)
    if size >= 100 or value == 0:
        return f"{value:,.0f} USD".replace("-", MINUS)
    digits = 2 if size >= 10 else 2 if size >= 1 else 3
    text = f"{value:.2f}" if size >= 1 else f"{value:.{digits}g}" if size >= 1e-4 else f"{value:.10f}".rstrip("0")
    return f"{text} USD".replace("-", MINUS)


def per_thousand(value: float | None) -> str:
    """Return the cost of a thousand of what one costs so much."""
    return UNKNOWN if value is None else usd(1000 * value)


def rate(requests: float) -> str:
    """Return a traffic in words."""
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if requests >= size:
            return f"{requests / size:.3g} {word}"
    return f"{requests:,.0f}" if requests < 10_000 else f"{round(requests, -3):,.0f}"


def signed(value: float, form: str = ".1f") -> str:
    """Return a number with its sign; what rounds to nothing has none."""
    text = f"{value:+{form}}"
    return text[1:] if not text[1:].strip("0.,") else text.replace("-", MINUS)


def spread(low: float, high: float, form: str = ".1f") -> str:
    """Return an interval in brackets."""
    return f"[{signed(low, form)}, {signed(high, form)}]"


def relative(entry: Mapping[str, float], form: str = ".0f") -> str:
    """Return a ratio's change in per cent, without its interval."""
    return f"{signed(100 * (entry['ratio'] - 1), form)} %"


def change(entry: Mapping[str, float] | None, kind: str) -> tuple[str, str]:
    """Return a change and its interval as two texts.

    Parameters
    ----------
    entry : mapping or None
        ``difference, low, high`` and perhaps ``ratio…``; see `pointsman.evidence.paired_change`.
    kind : str
        ``share`` (told in percentage points), ``usd`` or ``ms`` (told in per cent where there is a ratio).
    """
    if entry is None:
        return UNKNOWN, "cannot be told"
    if kind == "share":
        ends = 100 * entry["low"], 100 * entry["high"]
        return f"{signed(100 * entry['difference'])} points", spread(*ends)
    if "ratio" in entry:
        ends = 100 * (entry["ratio_low"] - 1), 100 * (entry["ratio_high"] - 1)
        return relative(entry), spread(*ends, ".0f")
    unit: Callable[[Any], str] = usd if kind == "usd" else ms
    return unit(entry["difference"]), f"[{unit(entry['low'])}, {unit(entry['high'])}]"
