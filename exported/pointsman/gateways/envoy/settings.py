"""What the external processor of Envoy may be told, and how it writes headers. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from pointsman.errors import PointsmanError
from pointsman.gateways.envoy.request import PATHS

__all__ = ["INTENT_HEADER", "LONGEST_NAME", "MODEL_HEADER", "ProcessorSettings", "header_value"]

MODEL_HEADER = "x-ai-eg-model"
"""The header by which routes of Envoy AI Gateway choose a backend."""
INTENT_HEADER = "x-pointsman-intent"
LONGEST_NAME = 256
"""Characters of a model's or an intent's name in a header."""


@dataclass(frozen=True)
class ProcessorSettings:
    """Settings of the external processor.

    Attributes
    ----------
    paths : tuple of str
        How the paths end whose requests are routed; all others pass as they are.
    models : tuple of str
        Only requests whose body names one of these models are routed (``auto``, say); all others pass as they are.
        Empty for every request.
    header : str
        Gets the model's name.
    rewrite_model : bool
        Whether the body names the chosen model too.
    timeouts : bool
        Whether Envoy gets the candidate's timeout in ``x-envoy-upstream-rq-timeout-ms``; its ``mutation_rules`` must
        ``allow_envoy``.
    max_body_bytes : int
        A longer body goes to the safe model, unread.
    decide_ms : float
        A decision that takes longer is not waited for: the request goes to the safe model. Below Envoy's own
        ``message_timeout`` (200 ms unless told otherwise).
    max_waiting : int
        Decisions under way at once; one more request goes to the safe model.
    """

    paths: tuple[str, ...] = PATHS
    models: tuple[str, ...] = ()
    header: str = MODEL_HEADER
    rewrite_model: bool = False
    timeouts: bool = False
    max_body_bytes: int = 4 * 1024 * 1024
    decide_ms: float = 150.0
    max_waiting: int = 256

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name in ("max_body_bytes", "decide_ms", "max_waiting"):
            if not getattr(self, name) > 0:
                raise PointsmanError(f"{name} is {getattr(self, name)!r}; a number above 0 is needed")
        letters = self.header.replace("-", "").replace("_", "")
        if not (letters.isascii() and letters.isalnum() and self.header == self.header.lower()):
            raise PointsmanError(f"header is {self.header!r}; a lower-case name of letters, digits, - and _ is needed")

    def routes(self, method: str, path: str) -> bool:
        """Return whether requests to a path, query included, are routed."""
        return method == "POST" and path.partition("?")[0].rstrip("/").endswith(self.paths)


def header_value(text: str, most: int) -> str:
    """Return a text as printable ASCII of at most `most` characters; what is none becomes ``?`` or a space."""
    line = " ".join(text.split()).encode("ascii", "replace").decode()
    line = "".join(letter if letter.isprintable() else " " for letter in line)
    return line if len(line) <= most else line[: most - 3] + "..."
