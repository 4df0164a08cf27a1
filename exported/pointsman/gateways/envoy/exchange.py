"""One request's conversation with Envoy: what each of its messages is answered.

By the mode in which Envoy sends the body of a request:

- ``BUFFERED``: the decision comes with the body.
- ``BUFFERED_PARTIAL``: so it does, but where a body is longer than Envoy's buffer, Envoy routes before it reads the
  answer to the first part: the safe model is set with the headers.
- ``FULL_DUPLEX_STREAMED``: the headers are held until the body is here; then headers, body and trailers go back.
- ``STREAMED``, ``NONE``: Envoy is asked to buffer the body (``allow_mode_override`` must let it). Where it does not,
  the headers have gone when the body comes, and the request goes to the safe model, which was set with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.gateways.envoy.messages import (
    FULL_DUPLEX,
    PARTIAL,
    STREAMED,
    UNSEEN,
    body_answer,
    body_parts,
    headers_answer,
    headers_of,
    trailers_answer,
)
from pointsman.gateways.envoy.request import UnreadableError, read_request, renamed
from pointsman.gateways.envoy.settings import INTENT_HEADER, LONGEST_NAME, header_value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pointsman.decision import Decision
    from pointsman.gateways.envoy.request import LlmRequest
    from pointsman.gateways.envoy.settings import ProcessorSettings

    Decide = Callable[[LlmRequest, str], Awaitable[Decision | str]]

__all__ = ["Exchange", "Outcome"]

LONGEST_REASON, LONGEST_ID = 512, 200
_REQUEST, _RESPONSE = "request", "response"
_UNBUFFERED = "the body comes after the headers: set request_body_mode or allow_mode_override"
_EARLY = {PARTIAL: "the body is longer than Envoy buffers", STREAMED: _UNBUFFERED, UNSEEN: _UNBUFFERED}
"""Why there is only the safe model while a body is not here, by the mode in which it is to come."""


class Outcome:
    """What came of a decision, as far as a proxy sees it."""

    def __init__(self, decision: Decision, started: float) -> None:
        self.decision = decision
        self.started = started
        self.status: int | None = None

    @property
    def word(self) -> str:
        """One of ok, timeout, error, rejected (the request's own fault), cancelled (nobody waited for the answer)."""
        if self.status is None:
            return "cancelled"
        if self.status < 400:
            return "ok"
        if self.status in {408, 504}:
            return "timeout"
        return "error" if self.status == 429 or self.status >= 500 else "rejected"

    @property
    def ok(self) -> bool:
        """Whether the model is not to blame for anything."""
        return self.word in {"ok", "rejected", "cancelled"}


class Exchange:
    """Answers the messages of one stream of Envoy, in their order.

    Parameters
    ----------
    settings : ProcessorSettings
    decide : async callable
        Gives the decision on an `LlmRequest` and its id, or in words why there is none.
    safe_model : callable
        Gives the name of the model where requests go without a decision.
    finished : callable
        Gets the `Outcome` of the request, once, where it was decided.
    clock : callable
        Seconds.
    """

    def __init__(
        self,
        settings: ProcessorSettings,
        decide: Decide,
        safe_model: Callable[[], str],
        finished: Callable[[Outcome], None],
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._decide = decide
        self._safe_model = safe_model
        self._finished = finished
        self._clock = clock
        self._started = clock()
        self._modes = {_REQUEST: -1, _RESPONSE: -1}
        self._id = ""
        self._encoding = ""
        self._sized = False
        self._deciding = False
        self._held: bytearray | None = None
        self._outcome: Outcome | None = None

    async def answer(self, message: Any) -> list[Any]:
        """Return the answers to one message, none or several; none at all where Envoy only shows what it does."""
        if message.HasField("protocol_config"):
            self._modes[_REQUEST] = message.protocol_config.request_body_mode
            self._modes[_RESPONSE] = message.protocol_config.response_body_mode
        kind = message.WhichOneof("request")
        if kind is None or message.observability_mode:
            return []
        phase, _, part = kind.partition("_")
        value = getattr(message, kind)
        if phase == _RESPONSE:
            return self._response(part, value)
        if part == "headers":
            return self._request_headers(value)
        if part == "body":
            return await self._request_body(value.body, value.end_of_stream)
        return [*await self._flush(last=False), trailers_answer(kind)]

    def close(self) -> None:
        """Tell the outcome where it was not told yet: the stream has ended."""
        if self._outcome is not None:
            outcome, self._outcome = self._outcome, None
            self._finished(outcome)

    def _request_headers(self, message: Any) -> list[Any]:
        headers = headers_of(message)
        self._id = headers.get("x-request-id", "")[:LONGEST_ID]
        self._encoding = headers.get("content-encoding", "").strip().lower()
        self._sized = "content-length" in headers
        routed = self._settings.routes(headers.get(":method", ""), headers.get(":path", ""))
        if not routed or message.end_of_stream:
            return [headers_answer("request_headers")]
        self._deciding = True
        mode = self._modes[_REQUEST]
        if mode == FULL_DUPLEX:
            self._held = bytearray()
            return []
        if mode in {PARTIAL, STREAMED, UNSEEN}:
            # Whether a request is ours where only some models are, the body tells.
            safe = None if self._settings.models else self._safe_headers(_EARLY[mode])
            return [headers_answer("request_headers", safe, buffered=mode != PARTIAL)]
        return [headers_answer("request_headers")]

    async def _request_body(self, body: bytes, last: bool) -> list[Any]:
        if self._held is not None:
            self._held += body
            if last or len(self._held) > self._settings.max_body_bytes:
                return await self._flush(last=last)
            return []
        if self._modes[_REQUEST] == FULL_DUPLEX:
            return list(body_parts("request_body", body, last=last))
        whole = last or self._modes[_REQUEST] not in {STREAMED, UNSEEN}
        if not self._deciding or not whole:  # a first part alone: Envoy does not buffer, and the headers have gone
            self._deciding = False
            return [body_answer("request_body")]
        self._deciding = False
        headers, changed = await self._decided(body)
        if headers is not None and changed is not None and self._sized:  # Envoy refuses a body of another length
            headers["content-length"] = str(len(changed))
        return [body_answer("request_body", headers, changed)]

    async def _flush(self, *, last: bool) -> list[Any]:
        """Send back what was held."""
        if self._held is None:
            return []
        body, self._held, self._deciding = bytes(self._held), None, False
        headers, changed = await self._decided(body)
        answers = [headers_answer("request_headers", headers, resized=changed is not None)]
        if body or last:
            answers += body_parts("request_body", body if changed is None else changed, last=last)
        return answers

    async def _decided(self, body: bytes) -> tuple[dict[str, str] | None, bytes | None]:
        """Return the headers to set, None where the request is not ours, and the body where it changes."""
        if len(body) > self._settings.max_body_bytes:
            return self._safe_headers(f"the body is longer than {self._settings.max_body_bytes} bytes"), None
        if self._encoding not in {"", "identity"}:
            return self._safe_headers("the body is encoded"), None
        try:
            request = read_request(body)
        except UnreadableError as error:
            return self._safe_headers(str(error)), None
        if self._settings.models and request.model not in self._settings.models:
            return None, None
        decision = await self._decide(request, self._id)
        if isinstance(decision, str):
            headers = self._safe_headers(decision)
        else:
            self._outcome = Outcome(decision, self._started)
            headers = self._headers(decision.model, decision.reason)
            if decision.intent is not None:
                headers[INTENT_HEADER] = header_value(decision.intent, LONGEST_NAME)
            if self._settings.timeouts and decision.timeout_ms is not None:
                headers["x-envoy-upstream-rq-timeout-ms"] = str(max(round(decision.timeout_ms), 1))
        model = self._safe_model() if isinstance(decision, str) else decision.model
        rewritten = self._settings.rewrite_model and request.model != model
        return headers, renamed(request, model) if rewritten else None

    def _headers(self, model: str, reason: str) -> dict[str, str]:
        name = header_value(model, LONGEST_NAME)
        return {
            self._settings.header: name,
            "x-pointsman-model": name,
            INTENT_HEADER: "",
            "x-pointsman-reason": header_value(reason, LONGEST_REASON),
        }

    def _safe_headers(self, why: str) -> dict[str, str]:
        return self._headers(self._safe_model(), f"safe model: {why}")

    def _response(self, part: str, message: Any) -> list[Any]:
        if part == "headers":
            status = headers_of(message).get(":status", "")
            if self._outcome is not None and status.isascii() and status.isdecimal():
                self._outcome.status = int(status)
            answers = [headers_answer("response_headers")]
        elif part == "body":
            if self._modes[_RESPONSE] == FULL_DUPLEX:
                answers = list(body_parts("response_body", message.body, last=message.end_of_stream))
            else:
                answers = [body_answer("response_body")]
        else:
            answers = [trailers_answer("response_trailers")]
        if part == "trailers" or message.end_of_stream:
            self.close()
        return answers
