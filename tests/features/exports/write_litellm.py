"""Write the LiteLLM fixtures with LiteLLM itself: no request leaves the machine, every answer is mocked.

Run it in an environment of its own (written with litellm 1.106.2)::

    python -m venv .litellm && .litellm/bin/pip install 'litellm[proxy]' pyarrow soundfile
    LITELLM_LOCAL_MODEL_COST_MAP=True .litellm/bin/python tests/features/exports/write_litellm.py

It writes beside itself ``litellm_payloads.jsonl`` (what a custom logger gets), ``litellm_spend.jsonl``, ``.csv`` and
``.parquet`` (rows that the proxy's own function makes of the same calls, with stored prompts),
``litellm_spend_no_prompts.jsonl`` (the proxy's default) and ``litellm_datadog.jsonl`` (Datadog's envelope). Ids and
times change with each run. Left out of each record: the library's price table (``model_map_value``, 8 kB) and
tracebacks, which name paths of the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import litellm
import pyarrow as pa
import pyarrow.parquet as pq
from litellm import Router
from litellm.caching.caching import Cache
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy.spend_tracking.spend_tracking_utils import get_logging_payload
from litellm.types.utils import (
    Choices,
    CompletionTokensDetailsWrapper,
    Message,
    ModelResponse,
    PromptTokensDetailsWrapper,
    Usage,
)

HERE = Path(__file__).parent
DOT = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


class Keeper(CustomLogger):
    """Keeps the payload of each attempt, and the rows of spend logs that the proxy would store for it."""

    def __init__(self) -> None:
        super().__init__()
        self.payloads: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        self.silent: list[dict[str, Any]] = []

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._keep(kwargs, response_obj, start_time, end_time, "success")

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        self._keep(kwargs, response_obj, start_time, end_time, "failure")

    def _keep(self, kwargs: Any, response: Any, start: Any, end: Any, status: str) -> None:
        payload = json.loads(json.dumps(kwargs["standard_logging_object"], default=str))
        payload["model_map_information"]["model_map_value"] = None
        if payload.get("error_information"):
            payload["error_information"]["traceback"] = ""
        self.payloads.append(payload)
        # The proxy's hooks put the client's body and the outcome beside the call before they make its row.
        given = kwargs["litellm_params"]
        metadata = {**(given.get("metadata") or {}), "status": status}
        if status == "failure":
            metadata["error_information"] = payload["error_information"]
        body = {"model": payload["model_group"] or payload["model"], "messages": kwargs.get("messages")}
        call = {
            **{key: value for key, value in kwargs.items() if key != "completion_start_time" or value is not None},
            "litellm_params": {**given, "metadata": metadata, "proxy_server_request": {"method": "POST", "body": body}},
        }
        for keep, rows in (("true", self.rows), ("false", self.silent)):
            os.environ["STORE_PROMPTS_IN_SPEND_LOGS"] = keep
            rows.append(_row(get_logging_payload(call, response or {}, start, end)))


def _row(row: Any) -> dict[str, Any]:
    """Return a row as the database holds it: times as texts, JSON columns as texts."""
    plain = {key: value.isoformat() if hasattr(value, "isoformat") else value for key, value in row.items()}
    metadata = json.loads(plain["metadata"])
    if metadata.get("model_map_information"):
        metadata["model_map_information"]["model_map_value"] = None
    plain["metadata"] = json.dumps(metadata)
    return plain


def _answer(text: str, **usage: Any) -> ModelResponse:
    return ModelResponse(choices=[Choices(message=Message(content=text, role="assistant"))], usage=Usage(**usage))


def _say(text: str, *before: dict[str, Any]) -> list[dict[str, Any]]:
    return [*before, {"role": "user", "content": text}]


def _deployment(name: str, model: str, **more: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": model, "api_key": "none", **more}}


async def _calls() -> None:
    router = Router(
        model_list=[
            _deployment("small", "gpt-4o-mini", mock_response="Paris."),
            _deployment("big", "gpt-4o", mock_response="Certainly: Paris."),
            _deployment("busy", "gpt-4o-mini", mock_response="litellm.RateLimitError"),
            _deployment("reasoner", "o3-mini"),
            _deployment("claude", "anthropic/claude-sonnet-4-5"),
            _deployment("in-house", "openai/llama-in-the-cellar", mock_response="Yes."),
            _deployment("vectors", "text-embedding-3-small"),
        ],
        fallbacks=[{"busy": ["big"]}],
        num_retries=1,
        retry_after=0,
    )
    await router.acompletion(
        model="small",
        messages=_say("What is the capital of France?"),
        mock_delay=0.03,
        metadata={
            "tags": ["intent:geography", "beta"],
            "requester_metadata": {"channel": "web", "session_id": "talk-1"},
            "spend_logs_metadata": {"cost_centre": "docs"},
            "user_api_key_team_alias": "atlas",
            "user_api_key_user_id": "employee-3",
            "user_api_key_end_user_id": "user-17",
        },
    )
    stream = await router.acompletion(
        model="big",
        messages=_say("Tell me a story about a signal box."),
        stream=True,
        stream_options={"include_usage": True},
    )
    async for _ in stream:
        await asyncio.sleep(0.01)
    # Two attempts at "busy", then the fallback "big": three payloads of one trace.
    await router.acompletion(model="busy", messages=_say("Does the fallback answer?"))
    with contextlib.suppress(litellm.Timeout):
        await router.acompletion(
            model="small", messages=_say("Will this time out?"), mock_timeout=True, timeout=0.05, num_retries=0
        )
    await router.acompletion(
        model="reasoner",
        messages=_say(
            "And the third?",
            {"role": "system", "content": "Count slowly."},
            *_say("The first?"),
            {"role": "assistant", "content": "Four."},
        ),
        mock_response=_answer(
            "Nine.",
            prompt_tokens=1200,
            completion_tokens=300,
            total_tokens=1500,
            prompt_tokens_details=PromptTokensDetailsWrapper(cached_tokens=1024),
            completion_tokens_details=CompletionTokensDetailsWrapper(reasoning_tokens=256),
        ),
        litellm_session_id="talk-2",
    )
    await router.acompletion(
        model="claude",
        messages=_say("Summarise the manual."),
        mock_response=_answer(
            "It is long.",
            prompt_tokens=5000,
            completion_tokens=20,
            total_tokens=5020,
            cache_creation_input_tokens=900,
            cache_read_input_tokens=4000,
        ),
    )
    await router.acompletion(model="in-house", messages=_say("Is there a price?"))
    look = [{"type": "text", "text": "What is in the picture?"}, {"type": "image_url", "image_url": {"url": DOT}}]
    await router.acompletion(model="big", messages=[{"role": "user", "content": look}])
    await router.aembedding(model="vectors", input=["signal box"], mock_response=[0.1, 0.2])
    litellm.cache = Cache(type="local")
    for _ in range(2):
        await litellm.acompletion(
            model="gpt-4o-mini", messages=_say("Answer me twice."), mock_response="Once.", caching=True, api_key="none"
        )
        await asyncio.sleep(0.3)


async def main() -> None:
    """Make the calls and write what was logged of them."""
    keeper = Keeper()
    litellm.callbacks = [keeper]
    await _calls()
    await asyncio.sleep(1)
    keeper.payloads.sort(key=lambda one: one["startTime"])
    for rows in (keeper.rows, keeper.silent):
        rows.sort(key=lambda one: one["startTime"])
    _lines("litellm_payloads.jsonl", keeper.payloads)
    _lines("litellm_spend.jsonl", keeper.rows)
    _lines("litellm_spend_no_prompts.jsonl", keeper.silent[:3])
    envelope = {"ddsource": "litellm", "ddtags": "env:unknown", "hostname": "gateway", "service": "litellm-server"}
    _lines(
        "litellm_datadog.jsonl",
        [{**envelope, "message": json.dumps(one), "status": "info"} for one in keeper.payloads[:2]],
    )
    with (HERE / "litellm_spend.csv").open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(keeper.rows[0]))
        writer.writeheader()
        writer.writerows(keeper.rows)
    pq.write_table(pa.Table.from_pylist(keeper.rows), HERE / "litellm_spend.parquet")


def _lines(name: str, records: list[dict[str, Any]]) -> None:
    (HERE / name).write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")


asyncio.run(main())
