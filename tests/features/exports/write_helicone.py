"""Write the Helicone fixtures after its published types; no Python library writes them.

``helicone.jsonl`` and ``helicone.csv`` have the fields of ``HeliconeRequest`` (Helicone/helicone,
packages/llm-mapper/types.ts) as ``getRequestsClickhouse`` selects them
(valhalla/jawn/src/lib/stores/request/request.ts), the CSV with the columns and the quoting of the exporter
(examples/export/typescript/index.ts), which doubles quotes twice. ``helicone_query.json`` is the answer of
``POST /v1/request/query`` of earlier versions, with scores as objects.

Run ``python tests/features/exports/write_helicone.py``; the same bytes come out each time.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ELSEWHERE = {
    "helicone_message": "fetching body from signed_url... contact engineering@helicone.ai for more information"
}
NO_CACHE = "00000000-0000-0000-0000-000000000000"


def _chat(model: str, *said: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": role, "content": words} for role, words in said], **more}


def _reply(model: str, words: str, **usage: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": words}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": model,
        "choices": [{"message": message}],
        "usage": usage,
    }


def _helicone(number: int, **more: Any) -> dict[str, Any]:
    record = {
        "response_id": f"response-{number}",
        "response_body": ELSEWHERE,
        "response_created_at": f"2026-03-02T09:00:{number:02d}.900Z",
        "response_status": 200,
        "request_id": f"request-{number}",
        "request_body": ELSEWHERE,
        "request_created_at": f"2026-03-02T09:00:{number:02d}.100Z",
        "request_user_id": "user-9",
        "request_properties": {},
        "provider": "OPENAI",
        "delay_ms": 800,
        "request_model": "gpt-4o-mini",
        "time_to_first_token": None,
        "total_tokens": 150,
        "completion_tokens": 50,
        "prompt_cache_read_tokens": 0,
        "prompt_cache_write_tokens": 0,
        "prompt_tokens": 100,
        "country_code": "NL",
        "scores": {},
        "properties": {},
        "asset_ids": [],
        "target_url": "https://api.openai.com/v1/chat/completions",
        "cache_reference_id": NO_CACHE,
        "request_referrer": "",
        "cache_enabled": False,
        "cost": 0.000045,
        "prompt_id": "",
        "prompt_version": "",
        "updated_at": "2026-03-02 09:05:00.000",
        "storage_location": "s3",
        "signed_body_url": "https://bodies.example/request",
        "model": "gpt-4o-mini",
    }
    return {**record, **more}


def _helicone_records() -> list[dict[str, Any]]:
    session = {"Helicone-Session-Id": "talk-5", "Helicone-Session-Path": "/plan", "feature": "planner"}
    claude = {
        "usage": {
            "input_tokens": 40,
            "cache_read_input_tokens": 900,
            "cache_creation_input_tokens": 60,
            "output_tokens": 30,
        }
    }
    return [
        _helicone(
            1,
            request_body=_chat("gpt-4o-mini", ("system", "Be brief."), ("user", "Which train leaves first?")),
            response_body=_reply("gpt-4o-mini-2024-07-18", "The 9:04.", prompt_tokens=100, completion_tokens=50),
            request_properties=session,
            properties=session,
            scores={"helicone-score-feedback": 1, "helpfulness": 80, "polite-hcone-bool": 1},
        ),
        _helicone(
            2,
            provider="ANTHROPIC",
            request_model="claude-sonnet-4",
            model="claude-sonnet-4",
            request_body={
                "model": "claude-sonnet-4",
                "system": "Rules of the yard.",
                "messages": [{"role": "user", "content": "May I shunt?"}],
            },
            response_body={"model": "claude-sonnet-4", "content": [{"type": "text", "text": "Yes."}], **claude},
            prompt_tokens=40,
            prompt_cache_read_tokens=900,
            prompt_cache_write_tokens=60,
            completion_tokens=30,
            time_to_first_token=210,
            delay_ms=1200,
            cost=0.0009,
            target_url="https://api.anthropic.com/v1/messages",
        ),
        _helicone(3, scores={"helicone-score-feedback": 0}),
        _helicone(
            4,
            request_body=_chat("gpt-4o-mini", ("user", "Which train leaves first?")),
            cache_enabled=True,
            cache_reference_id="request-1",
            cost=0,
            delay_ms=12,
        ),
        _helicone(
            5,
            response_status=429,
            request_body=_chat("gpt-4o-mini", ("user", "Too many?")),
            response_body={"error": {"message": "Rate limit reached", "type": "requests"}},
            prompt_tokens=0,
            completion_tokens=0,
            total_tokens=0,
            cost=0,
        ),
        _helicone(
            6,
            response_status=504,
            request_body=_chat("gpt-4o-mini", ("user", "Too slow?")),
            prompt_tokens=0,
            completion_tokens=0,
            cost=0,
        ),
        _helicone(
            7,
            request_model="text-embedding-3-small",
            model="text-embedding-3-small",
            target_url="https://api.openai.com/v1/embeddings",
            request_body={"model": "text-embedding-3-small", "input": "a signal box"},
            completion_tokens=0,
        ),
        _helicone(
            8,
            request_model="cellar-llama",
            model="cellar-llama",
            request_body=_chat("cellar-llama", ("user", "Is there a price?")),
            cost=0,
        ),
    ]


def _exported_csv(records: list[dict[str, Any]]) -> str:
    columns = (
        "response_id",
        "response_created_at",
        "response_status",
        "request_created_at",
        "request_body",
        "request_properties",
        "request_user_id",
        "model",
        "prompt_tokens",
        "completion_tokens",
        "latency",
        "cost",
    )

    def cell(value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, dict):
            value = json.dumps(value, separators=(",", ":")).replace('"', '""')
        return '"' + str(value).replace('"', '""') + '"'

    lines = [",".join(columns), *(",".join(cell(record.get(column)) for column in columns) for record in records)]
    return "\n".join(lines) + "\n"


def _query_answer() -> dict[str, Any]:
    record = {
        "response_id": "response-20",
        "response_created_at": "2024-11-05T10:00:01.5+00:00",
        "response_body": _reply(
            "gpt-4o", "Platform 2.", prompt_tokens=20, completion_tokens=5, prompt_tokens_details={"cached_tokens": 16}
        ),
        "response_status": 200,
        "response_model": "gpt-4o-2024-08-06",
        "request_id": "request-20",
        "request_created_at": "2024-11-05T10:00:00+00:00",
        "request_body": _chat("gpt-4o", ("user", "Which platform?")),
        "request_path": "https://oai.helicone.ai/v1/chat/completions",
        "request_user_id": None,
        "request_properties": {"Helicone-Session-Id": "talk-6"},
        "request_model": "gpt-4o",
        "model_override": None,
        "helicone_user": None,
        "provider": "OPENAI",
        "delay_ms": 1500,
        "time_to_first_token": None,
        "total_tokens": 25,
        "prompt_tokens": 20,
        "completion_tokens": 5,
        "prompt_id": None,
        "feedback_created_at": "2024-11-05T10:01:00+00:00",
        "feedback_id": "feedback-1",
        "feedback_rating": False,
        "llmSchema": None,
        "country_code": "NL",
        "asset_ids": None,
        "asset_urls": None,
        "scores": {"accuracy": {"value": 3, "valueType": "number"}},
        "costUSD": 0.0001,
    }
    return {"data": [record], "error": None}


def main() -> None:
    """Write all files."""
    records = _helicone_records()
    (HERE / "helicone.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    (HERE / "helicone.csv").write_text(_exported_csv(records), encoding="utf-8")
    (HERE / "helicone_query.json").write_text(json.dumps(_query_answer(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
