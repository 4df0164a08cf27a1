"""Write the fixture of Envoy AI Gateway after its documentation; no Python library writes it.

``envoy_ai_gateway.jsonl`` has the fields of envoyproxy/ai-gateway,
site/docs/capabilities/observability/accesslogs.md and examples/accesslogs-envoy-proxy-llm.yaml beside it (both
spellings of the names), one line of its MCP example among them.

Run ``python tests/features/exports/write_envoy_ai_gateway.py``; the same bytes come out each time.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def _access_lines() -> list[dict[str, Any]]:
    common = {
        ":authority": "gateway.example",
        "bytes_received": 105,
        "bytes_sent": 432,
        "connection_termination_details": None,
        "downstream_remote_address": "10.0.0.7:64484",
        "duration": 1526,
        "method": "POST",
        "protocol": "HTTP/1.1",
        "response_code": 200,
        "response_code_details": "via_upstream",
        "response_flags": "-",
        "route_name": "httproute/default/aigw-run/rule/0/match/0/*",
        "start_time": "2026-05-04T16:51:37.894Z",
        "upstream_cluster": "httproute/default/aigw-run/rule/0",
        "upstream_host": "192.0.2.10:443",
        "user-agent": "curl/8.7.1",
        "x-envoy-origin-path": "/v1/chat/completions?key=not-a-real-key",
        "x-envoy-upstream-service-time": "451",
        "x-request-id": "83b63da3-0001",
    }
    first = {
        "genai_backend_name": "default/tars/route/aigw-run/rule/0/ref/0",
        "genai_model_name": "gpt-4o-mini",
        "genai_model_name_override": None,
        "genai_tokens_input": 15,
        "genai_tokens_output": 7,
        "genai_tokens_total": 22,
    }
    nothing = dict.fromkeys(first)
    later = {
        "gen_ai.request.model": "claude",
        "gen_ai.request.model_override": "anthropic.claude-sonnet-4-v1:0",
        "gen_ai.provider.name": "default/bedrock/route/chat/rule/1/ref/0",
        "gen_ai.usage.total_tokens": "1060",
        "gen_ai.usage.input_tokens": "1000",
        "gen_ai.usage.cached_input_tokens": "800",
        "gen_ai.usage.output_tokens": "60",
        "session.id": "talk-9",
        "response_duration": 320,
        "upstream_request_attempt_count": 2,
    }
    tool = {"mcp_backend": "context7", "mcp_method": "tools/call", "mcp_request_id": "3", "mcp_session_id": None}
    return [
        {**common, **first},
        {**common, **later, "x-request-id": "83b63da3-0002"},
        {
            **common,
            **nothing,
            "genai_model_name": "gpt-4o-mini",
            "response_code": 504,
            "response_flags": "UT",
            "x-request-id": "83b63da3-0003",
        },
        {**common, **nothing, "genai_model_name": "gpt-4o-mini", "response_code": 429, "x-request-id": "83b63da3-0004"},
        {
            **common,
            **nothing,
            "genai_model_name": "gpt-4o-mini",
            "response_code": 0,
            "response_flags": "DC",
            "x-request-id": "83b63da3-0005",
        },
        {
            **common,
            **first,
            "genai_model_name": "vectors",
            "x-envoy-origin-path": "/v1/embeddings",
            "x-request-id": "83b63da3-0006",
        },
        {**common, **nothing, **tool, "x-envoy-origin-path": "/mcp", "x-request-id": "83b63da3-0007"},
    ]


def main() -> None:
    """Write the file."""
    lines = "".join(json.dumps(one) + "\n" for one in _access_lines())
    (HERE / "envoy_ai_gateway.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
