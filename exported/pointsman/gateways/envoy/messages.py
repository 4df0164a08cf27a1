"""The answers of the ``ext_proc`` protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.errors import MissingExtraError

try:
    from envoy.config.core.v3 import base_pb2
    from envoy.extensions.filters.http.ext_proc.v3 import processing_mode_pb2
    from envoy.service.ext_proc.v3 import external_processor_pb2 as pb
except ModuleNotFoundError as error:
    raise MissingExtraError((error.name or "xds-protos").partition(".")[0], "envoy") from error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "FULL_DUPLEX",
    "PARTIAL",
    "STREAMED",
    "UNSEEN",
    "body_answer",
    "body_parts",
    "headers_answer",
    "headers_of",
    "pb",
    "trailers_answer",
]

_MODES = processing_mode_pb2.ProcessingMode
FULL_DUPLEX: int = _MODES.FULL_DUPLEX_STREAMED
PARTIAL: int = _MODES.BUFFERED_PARTIAL
STREAMED: int = _MODES.STREAMED
UNSEEN: int = _MODES.NONE
BYTES_PER_PART = 65_536
"""Bytes of a body in one answer, where the body goes back in parts."""


def headers_of(headers: Any) -> dict[str, str]:
    """Return the headers of a message by their lower-case names; of several of one name, the last."""
    return {
        one.key.lower(): one.raw_value.decode("utf-8", "replace") if one.raw_value else one.value
        for one in headers.headers.headers
    }


def headers_answer(
    phase: str, headers: Mapping[str, str] | None = None, *, buffered: bool = False, resized: bool = False
) -> Any:
    """Let headers of a request or a response pass: ``request_headers`` or ``response_headers``.

    Parameters
    ----------
    phase : str
    headers : mapping, optional
        Set, and the route is chosen anew by them.
    buffered : bool
        Ask for the whole body of the request at once.
    resized : bool
        Whether the body that follows has another length.
    """
    answer = pb.ProcessingResponse()
    common = getattr(answer, phase).response
    common.status = pb.CommonResponse.CONTINUE
    if headers is not None:
        _set(common, headers)
        if resized:
            common.header_mutation.remove_headers.append("content-length")
    if buffered:
        answer.mode_override.request_header_mode = _MODES.SEND
        answer.mode_override.request_body_mode = _MODES.BUFFERED
        answer.mode_override.response_header_mode = _MODES.SEND
    return answer


def body_answer(phase: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Any:
    """Let a body pass, ``request_body`` or ``response_body``, with headers set and another body where given."""
    answer = pb.ProcessingResponse()
    common = getattr(answer, phase).response
    common.status = pb.CommonResponse.CONTINUE
    if headers is not None:
        _set(common, headers)
    if body is not None:
        common.body_mutation.body = body
    return answer


def body_parts(phase: str, body: bytes, *, last: bool) -> Iterator[Any]:
    """Send a body back in parts, where Envoy took it out of the stream (full duplex)."""
    for start in range(0, max(len(body), 1), BYTES_PER_PART):
        answer = pb.ProcessingResponse()
        part = getattr(answer, phase).response.body_mutation.streamed_response
        part.body = body[start : start + BYTES_PER_PART]
        part.end_of_stream = last and start + BYTES_PER_PART >= len(body)
        yield answer


def trailers_answer(phase: str) -> Any:
    """Let trailers pass: ``request_trailers`` or ``response_trailers``."""
    answer = pb.ProcessingResponse()
    getattr(answer, phase).SetInParent()
    return answer


def _set(common: Any, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not value:  # Envoy sets no empty header, and one that a client forged must not stay
            common.header_mutation.remove_headers.append(name)
            continue
        option = common.header_mutation.set_headers.add()
        option.append_action = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        option.header.key = name
        option.header.raw_value = value.encode()
    common.clear_route_cache = True
