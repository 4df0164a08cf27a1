"""Write the fixtures of vLLM Semantic Router after its published type; no Python library writes them.

``vllm_sr.jsonl`` has the fields of ``store.Record`` (vllm-project/semantic-router,
src/semantic-router/pkg/routerreplay/store/store.go); ``vllm_sr_list.json`` is the list that ``GET /v1/router_replay``
answers, in its first version without usage and times.

Run ``python tests/features/exports/write_vllm_sr.py``; the same bytes come out each time.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


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


def _replay(number: int, **more: Any) -> dict[str, Any]:
    record = {
        "id": f"replay-{number}",
        "timestamp": f"2026-04-01T08:00:{number:02d}.25Z",
        "request_id": f"call-{number}",
        "session_id": "talk-8",
        "turn_index": number,
        "recipe": "default",
        "decision": "math_decision",
        "decision_tier": 1,
        "decision_priority": 100,
        "category": "math",
        "original_model": "auto",
        "selected_model": "qwen3-8b",
        "reasoning_mode": "on",
        "confidence_score": 0.91,
        "selection_method": "router_dc",
        "signals": {"keyword": ["math_keywords"], "domain": ["math"], "complexity": ["complex"]},
        "confidence_score_available": True,
        "response_status": 200,
        "lifecycle_state": "completed",
        "ended_at": f"2026-04-01T08:00:{number:02d}.95Z",
        "duration_ms": 700,
        "jailbreak_score_available": False,
        "response_jailbreak_score_available": False,
        "hallucination_score_available": False,
        "prompt_tokens": 220,
        "cached_prompt_tokens": 128,
        "completion_tokens": 90,
        "total_tokens": 310,
        "actual_cost": 0.00031,
        "baseline_cost": 0.0029,
        "cost_savings": 0.00259,
        "currency": "USD",
        "baseline_model": "big-decoder",
    }
    return {**record, **more}


def _replays() -> list[dict[str, Any]]:
    def outcome(source: str, verdict: str, target: str = "model") -> dict[str, Any]:
        return {"timestamp": "2026-04-01T08:05:00Z", "source": source, "target": target, "verdict": verdict}

    asked = _chat("auto", ("system", "Show each step."), ("user", "What is 12 times 12?"))
    stream = "\n\n".join(
        (
            'data: {"choices":[{"delta":{"content":"144"}}]}',
            'data: {"choices":[],"usage":{"prompt_tokens":31,"completion_tokens":4}}',
            "data: [DONE]",
        )
    )
    untold = dict.fromkeys(
        ("prompt_tokens", "cached_prompt_tokens", "completion_tokens", "total_tokens", "actual_cost")
    )
    return [
        _replay(
            1,
            request_body=json.dumps(asked),
            response_body=json.dumps(_reply("qwen3-8b", "144", prompt_tokens=220, completion_tokens=90)),
            outcomes=[outcome("user", "good_fit"), outcome("provider", "failed", "provider")],
        ),
        _replay(2, request_body=json.dumps(asked), response_body=stream, streaming=True, **untold),
        _replay(
            3,
            category="",
            signals={"domain": ["law"]},
            request_body='{"model": "auto", "messages": [{"role": "user", "cont',
            request_body_truncated=True,
            prompt="May a tenant sublet?",
            hallucination_enabled=True,
            hallucination_detected=True,
            hallucination_score_available=True,
            outcomes=[outcome("eval", "underpowered")],
        ),
        _replay(
            4, request_body=json.dumps(asked), from_cache=True, cache_hit_kind="semantic", duration_ms=9, actual_cost=0
        ),
        _replay(
            5,
            request_body=json.dumps(asked),
            response_status=504,
            lifecycle_state="failed",
            terminal_reason="upstream_timeout",
        ),
        _replay(6, request_body=json.dumps(asked), lifecycle_state="in_progress", response_status=0, ended_at=None),
        _replay(7, request_body=json.dumps(asked), currency="CNY", actual_cost=0.002, hallucination_enabled=True),
    ]


def _first_version() -> dict[str, Any]:
    record = {
        "id": "7f3c",
        "timestamp": "2026-01-10T12:00:00.5Z",
        "request_id": "call-1",
        "decision": "economics_decision",
        "category": "economics",
        "original_model": "MoM",
        "selected_model": "gpt-oss-20b",
        "reasoning_mode": "off",
        "signals": {"domain": ["economics"]},
        "request_body": json.dumps(_chat("MoM", ("user", "What is inflation?"))),
        "response_body": json.dumps(_reply("gpt-oss-20b", "Rising prices.", prompt_tokens=12, completion_tokens=6)),
        "response_status": 200,
    }
    return {"object": "router_replay.list", "count": 1, "data": [record]}


def main() -> None:
    """Write all files."""
    (HERE / "vllm_sr.jsonl").write_text("".join(json.dumps(one) + "\n" for one in _replays()), encoding="utf-8")
    (HERE / "vllm_sr_list.json").write_text(json.dumps(_first_version(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
