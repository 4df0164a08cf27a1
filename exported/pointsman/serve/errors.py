"""Errors as the sidecar answers them: one line of text in JSON, never with what a prompt says."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ProblemError", "fault_of", "problem"]

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")


class ProblemError(Exception):
    """An answer that is an error: a status, a line of text, headers."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


def problem(
    status: int, text: str, *, safe_model: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the response for an error; with the model that a gateway may ask instead, where there is no decision."""
    content = {"error": " ".join(text.split())}
    if safe_model is not None:
        content["safe_model"] = safe_model
    return Response(json.dumps(content), status, headers, media_type="application/json")


def fault_of(errors: Sequence[Mapping[str, Any]]) -> tuple[int, str]:
    """Return the status and the line for what pydantic and FastAPI found wrong with a body."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return 400, f"the body is not JSON: {first['ctx']['error']} at character {first['loc'][-1]}"
    where, kind = "", first["type"]
    for part in first["loc"][1:]:
        if isinstance(part, int):
            where += f"[{part}]"
        else:  # a key may be anything the client wrote
            name = part if _PLAIN_KEY.fullmatch(part) else "(a key)"
            where += f".{name}" if where else name
    where = where or "the body"
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    if kind == "missing":
        return 422, f"{where} is missing{more}"
    if kind == "extra_forbidden":
        return 422, f"{where} is not known; /openapi.json says what is{more}"
    return 422, f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}{more}"
