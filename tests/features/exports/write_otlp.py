r"""Writes the OTLP exports beside it: real instrumentations of the OpenAI client against a small local server.

Each needs a virtual environment of its own, because they patch the same client; run from this folder::

    pip install openai opentelemetry-instrumentation-openai-v2 opentelemetry-exporter-otlp-json-file
    pip install httpx opentelemetry-util-genai==1.0b0
    python write_otlp.py openai_v2            # opentelemetry-instrumentation-openai-v2 2.4b0, messages on spans
    python write_otlp.py openai_v2_events     # the same, messages as events: log records of their own
    pip install openinference-instrumentation-openai
    python write_otlp.py openinference        # openinference-instrumentation-openai 0.1.66
    pip install openai opentelemetry-instrumentation-openai opentelemetry-exporter-otlp-proto-common
    python write_otlp.py traceloop            # opentelemetry-instrumentation-openai 0.62.4
    pip install 'openai<2' opentelemetry-instrumentation-openai==0.40.14 'setuptools<80' \
        opentelemetry-sdk opentelemetry-exporter-otlp-proto-common
    python write_otlp.py traceloop_flat       # flattened prompts, names of 2025

Ids are the same in every run; times are not.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openai_calls import SeededIds, calls, serve
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

FOLDER = Path(__file__).resolve().parent
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


class ProtoJson(SpanExporter):
    """Appends what protobuf's own JSON printer makes of a request: ids in base64, as some pipelines store them."""

    def __init__(self, path: Path, snake: bool) -> None:
        self._path = path
        self._snake = snake

    def export(self, spans: Any) -> SpanExportResult:
        """Write one line for one batch."""
        from google.protobuf.json_format import MessageToDict
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

        held = MessageToDict(encode_spans(spans), preserving_proto_field_name=self._snake)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(held) + "\n")
        return SpanExportResult.SUCCESS


def _provider(seed: int) -> TracerProvider:
    # Stack traces would carry the paths of whoever runs this.
    sys.tracebacklimit = 0
    resource = Resource.create(
        {"service.name": "support-desk", "service.instance.id": "1", "deployment.environment.name": "test"}
    )
    return TracerProvider(id_generator=SeededIds(seed), resource=resource)


def openai_v2(path: Path, events: bool) -> None:
    """Record with the official instrumentation, spans and events in one file."""
    os.environ[CONTENT] = "event_only" if events else "span_only"
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
    os.environ["OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT"] = str(events).lower()
    from opentelemetry.exporter.otlp.json.file._log_exporter import FileLogExporter
    from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter
    from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

    provider = _provider(2 + events)
    logs = LoggerProvider(resource=provider.resource)
    with path.open("w", encoding="utf-8") as file:
        provider.add_span_processor(SimpleSpanProcessor(FileSpanExporter(stream=file)))
        logs.add_log_record_processor(SimpleLogRecordProcessor(FileLogExporter(stream=file)))
        OpenAIInstrumentor().instrument(tracer_provider=provider, logger_provider=logs)
        tracer = provider.get_tracer("support-desk")

        def step(name: str, kind: str) -> AbstractContextManager[Any]:
            operation = {"tool": "execute_tool", "retriever": "retrieval"}.get(kind)
            mine = {"session.id": "s-1", "user.id": "u-1", "app.intent": "support"} if kind == "request" else {}
            return tracer.start_as_current_span(
                name, attributes={"gen_ai.operation.name": operation} if operation else mine
            )

        calls(step)
        provider.shutdown()
        logs.shutdown()


def openinference(path: Path) -> None:
    """Record with OpenInference: its tracer's own kinds around the calls, session, user, metadata and tags."""
    from openinference.instrumentation import TracerProvider as OpenInferenceProvider
    from openinference.instrumentation import using_attributes
    from openinference.instrumentation.openai import OpenAIInstrumentor
    from opentelemetry.exporter.otlp.json.file.trace_exporter import FileSpanExporter

    plain = _provider(4)
    provider = OpenInferenceProvider(id_generator=SeededIds(4), resource=plain.resource)
    with path.open("w", encoding="utf-8") as file:
        provider.add_span_processor(SimpleSpanProcessor(FileSpanExporter(stream=file)))
        OpenAIInstrumentor().instrument(tracer_provider=provider)
        tracer = provider.get_tracer("support-desk")
        kinds = {"request": "chain", "tool": "tool", "retriever": "retriever"}

        def step(name: str, kind: str) -> AbstractContextManager[Any]:
            return tracer.start_as_current_span(name, openinference_span_kind=kinds[kind])

        with using_attributes(session_id="s-1", user_id="u-1", metadata={"intent": "support"}, tags=["tier:gold"]):
            calls(step)
        provider.shutdown()


def traceloop(path: Path, flat: bool) -> None:
    """Record with OpenLLMetry, exported through protobuf's JSON printer."""
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    path.write_text("", encoding="utf-8")
    provider = _provider(6 + flat)
    provider.add_span_processor(SimpleSpanProcessor(ProtoJson(path, snake=flat)))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    tracer = provider.get_tracer("support-desk")
    kinds = {"request": "workflow", "tool": "tool", "retriever": "task"}

    def step(name: str, kind: str) -> AbstractContextManager[Any]:
        attributes = {"traceloop.span.kind": kinds[kind], "traceloop.entity.name": name}
        if kind == "request":
            attributes["traceloop.association.properties.user_id"] = "u-1"
        if kind == "retriever":
            attributes |= {"db.system": "chroma", "db.operation": "query"}
        return tracer.start_as_current_span(name, attributes=attributes)

    calls(step)
    provider.shutdown()


def main(which: str) -> None:
    """Write the export of one library."""
    path = FOLDER / f"otlp_{which}.jsonl"
    server = serve()
    if which.startswith("openai_v2"):
        openai_v2(path, which.endswith("events"))
    elif which.startswith("traceloop"):
        traceloop(path, which.endswith("flat"))
    else:
        openinference(path)
    server.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
