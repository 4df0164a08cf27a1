"""The calls that the writers of OpenTelemetry exports record: a support desk against a small local OpenAI server.

Nothing leaves the machine. The server answers by the name of the model, so that every export holds the same story: a
plain answer, a streamed one, one with cached and reasoning tokens, a tool call, a failure with its fallback, a timeout,
an embedding and an image.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from openai import APIStatusError, APITimeoutError, OpenAI
from opentelemetry.sdk.trace.id_generator import IdGenerator

PORT = 8077
SYSTEM = {"role": "system", "content": "You are the support desk of a bicycle shop. Answer in one sentence."}
TOOL = {"type": "function", "function": {"name": "order_status", "parameters": {"type": "object", "properties": {}}}}
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw=="

Step = Callable[[str, str], AbstractContextManager[Any]]
"""Opens a span of the application: its name, and ``request``, ``tool`` or ``retriever``."""


class SeededIds(IdGenerator):
    """Trace and span ids that are the same in every run."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def generate_span_id(self) -> int:
        """Return a 64-bit id."""
        return self._random.getrandbits(64)

    def generate_trace_id(self) -> int:
        """Return a 128-bit id."""
        return self._random.getrandbits(128)


class Desk(BaseHTTPRequestHandler):
    """Answers like the OpenAI API, chat completions and embeddings."""

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""

    def do_POST(self) -> None:
        """Answer by the model's name."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model = asked["model"]
        if model == "broken-large":
            self._send(500, {"error": {"message": "upstream is down", "type": "server_error", "code": None}})
        elif model == "slow-large":
            time.sleep(1.0)
            with suppress(OSError):
                self._send(200, _answer(model, "Too late.", {}))
        elif self.path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}]
            usage = {"prompt_tokens": 6, "total_tokens": 6}
            self._send(200, {"object": "list", "model": model, "data": data, "usage": usage})
        elif asked.get("stream"):
            self._stream(model)
        elif asked.get("tools") and asked["messages"][-1]["role"] == "user":
            call = {"id": "call_1", "type": "function", "function": {"name": "order_status", "arguments": "{}"}}
            self._send(200, _answer(model, None, {"tool_calls": [call]}))
        else:
            self._send(200, _answer(model, "Your wheel is on its way.", {}))

    def _send(self, status: int, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self, model: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        base = {
            "id": "chatcmpl-2",
            "object": "chat.completion.chunk",
            "created": 1767600000,
            "model": f"{model}-2026-01-05",
        }
        for word in ("We ", "open ", "at ", "nine."):
            time.sleep(0.03)
            delta = {"index": 0, "delta": {"role": "assistant", "content": word}, "finish_reason": None}
            self._chunk({**base, "choices": [delta], "usage": None})
        self._chunk({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None})
        self._chunk({**base, "choices": [], "usage": _usage(31, 4, 0, 0)})
        self.wfile.write(b"data: [DONE]\n\n")

    def _chunk(self, body: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(body)}\n\n".encode())
        self.wfile.flush()


def _usage(read: int, wrote: int, cached: int, reasoned: int) -> dict[str, Any]:
    return {
        "prompt_tokens": read,
        "completion_tokens": wrote,
        "total_tokens": read + wrote,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoned, "audio_tokens": 0},
    }


def _answer(model: str, content: str | None, more: dict[str, Any]) -> dict[str, Any]:
    usage = _usage(2048, 320, 1920, 256) if model.startswith("reasoner") else _usage(40, 8, 0, 0)
    finish = "tool_calls" if more else "stop"
    message = {"role": "assistant", "content": content, **more}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1767600000,
        "model": f"{model}-2026-01-05",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": usage,
    }


def serve() -> ThreadingHTTPServer:
    """Start the server in the background; the caller shuts it down."""
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Desk)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _said(text: str) -> list[dict[str, Any]]:
    return [SYSTEM, {"role": "user", "content": text}]


def calls(step: Step) -> None:
    """Make the eight calls, each in a trace of its own under a span ``answer`` that `step` opens."""
    client = OpenAI(api_key="unused", base_url=f"http://127.0.0.1:{PORT}/v1", max_retries=0, timeout=10)
    chat = client.chat.completions.create
    with step("answer", "request"):
        chat(model="small-1", messages=_said("Where is my wheel?"))
    with step("answer", "request"):
        messages = [*_said("Hello"), {"role": "assistant", "content": "Hi!"}, *_said("When do you open?")[1:]]
        for _ in chat(model="small-1", messages=messages, stream=True, stream_options={"include_usage": True}):
            pass
    with step("answer", "request"):
        chat(model="reasoner-1", messages=_said("Compare three gear hubs for a cargo bike."))
    with step("answer", "request"):
        messages = _said("What is the state of order 1203?")
        first = chat(model="small-1", messages=messages, tools=[TOOL]).choices[0].message
        with step("order_status", "tool"):
            time.sleep(0.02)
        messages += [first, {"role": "tool", "tool_call_id": "call_1", "content": '{"state": "sent"}'}]
        chat(model="small-1", messages=messages, tools=[TOOL])
    with step("answer", "request"):
        with suppress(APIStatusError):
            chat(model="broken-large", messages=_said("Can I return a helmet?"))
        chat(model="small-1", messages=_said("Can I return a helmet?"))
    with step("answer", "request"), suppress(APITimeoutError):
        client.with_options(timeout=0.2).chat.completions.create(
            model="slow-large", messages=_said("Plan a tour of five days.")
        )
    with step("answer", "request"):
        client.embeddings.create(model="embed-1", input="tyre pressure table", encoding_format="float")
        with step("manuals", "retriever"):
            time.sleep(0.01)
        chat(model="small-1", messages=_said("Which tyre pressure do I need?"))
    with step("answer", "request"):
        parts = [{"type": "text", "text": "What is broken here?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
        chat(model="small-1", messages=[{"role": "user", "content": parts}])
