"""Writes the Phoenix exports beside it: the calls recorded by OpenInference, sent to a Phoenix server, and read back.

In a virtual environment of its own (arize-phoenix 20.26.1, openinference-instrumentation-openai 0.1.66)::

    pip install arize-phoenix openai openinference-instrumentation-openai
    python write_phoenix.py

The frame of ``get_spans_dataframe`` becomes Parquet with its index, spans and annotations of the REST interface become
JSON lines. Ids are the same in every run; times, and the ids that the server gives, are not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

from openai_calls import SeededIds, calls, serve
from openinference.instrumentation import TracerProvider, using_attributes
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from phoenix.client import Client

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

FOLDER = Path(__file__).resolve().parent
PHOENIX = "http://127.0.0.1:8078"


def record() -> None:
    """Make the calls and send their spans to the server."""
    sys.tracebacklimit = 0
    resource = Resource.create({"service.name": "support-desk", "openinference.project.name": "desk"})
    provider = TracerProvider(id_generator=SeededIds(8), resource=resource)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{PHOENIX}/v1/traces")))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    tracer = provider.get_tracer("support-desk")
    kinds = {"request": "chain", "tool": "tool", "retriever": "retriever"}

    def step(name: str, kind: str) -> AbstractContextManager[Any]:
        return tracer.start_as_current_span(
            name, openinference_span_kind=kinds[kind], attributes={"desk.queue": "bikes"}
        )

    with using_attributes(session_id="s-1", user_id="u-1", metadata={"intent": "support"}, tags=["tier:gold"]):
        calls(step)
    provider.shutdown()


def export() -> None:
    """Judge two answers, then read everything back."""
    client = Client(base_url=PHOENIX)
    for _ in range(100):
        frame = client.spans.get_spans_dataframe(project_identifier="desk")
        if len(frame) == 21:
            break
        time.sleep(0.2)
    answered = [key for key, kind in frame["span_kind"].items() if kind == "LLM"]
    for span_id, name, kind, label, score in (
        (answered[0], "user feedback", "HUMAN", "up", 1.0),
        (answered[0], "correctness", "LLM", "correct", None),
        (answered[1], "is_json", "CODE", None, 0.0),
    ):
        client.spans.add_span_annotation(
            span_id=span_id,
            annotation_name=name,
            annotator_kind=kind,
            label=label,
            score=score,
            # Parquet has no empty objects.
            metadata={"page": "chat"},
            sync=True,
        )
    frame.to_parquet(FOLDER / "openinference_phoenix.parquet")
    judged = client.spans.get_span_annotations_dataframe(spans_dataframe=frame, project_identifier="desk")
    judged.to_parquet(FOLDER / "openinference_phoenix_annotations.parquet")
    spans = client.spans.get_spans(project_identifier="desk", limit=100)
    notes = client.spans.get_span_annotations(span_ids=answered, project_identifier="desk")
    for name, rows in (("spans", spans), ("annotations", notes)):
        lines = [json.dumps(row, default=str) + "\n" for row in rows]
        (FOLDER / f"openinference_phoenix_{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def main() -> None:
    """Start both servers, record, export, stop them."""
    desk = serve()
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "PHOENIX_WORKING_DIR": folder,
            "PHOENIX_PORT": PHOENIX.rpartition(":")[2],
            "PHOENIX_GRPC_PORT": "8079",
            "PHOENIX_TELEMETRY_ENABLED": "false",
        }
        phoenix = subprocess.Popen([sys.executable, "-m", "phoenix.server.main", "serve"], env=environment)
        try:
            for _ in range(300):
                try:
                    urlopen(f"{PHOENIX}/healthz").close()
                    break
                except OSError:
                    time.sleep(0.3)
            record()
            export()
        finally:
            phoenix.terminate()
            phoenix.wait()
    desk.shutdown()


if __name__ == "__main__":
    main()
