"""Loads a proxy's configuration as LiteLLM's proxy does, and prints what became of it as JSON."""

from __future__ import annotations

import asyncio
import json
import sys

from litellm.proxy.proxy_server import ProxyConfig  # type: ignore[import-not-found,unused-ignore]


async def main(path: str) -> None:
    router, models, _ = await ProxyConfig().load_config(router=None, config_file_path=path)
    deployments = {}
    for held in router.model_list:
        params = held["litellm_params"]
        wanted = ("model", "timeout", "stream_timeout", "max_parallel_requests", "max_budget", "budget_duration")
        prices = ("input_cost_per_token", "output_cost_per_token")
        found = {name: params[name] for name in (*wanted, *prices) if params.get(name) is not None}
        deployments[held["model_name"]] = found | {"window": held.get("model_info", {}).get("max_input_tokens")}
    retries = router.retry_policy
    seen = {
        "names": [model["model_name"] for model in models],
        "deployments": deployments,
        "fallbacks": router.fallbacks,
        "context_window_fallbacks": router.context_window_fallbacks,
        "num_retries": router.num_retries,
        "retries": {name: value for name, value in vars(retries).items() if value is not None},
        "allowed_fails": router.allowed_fails,
        "cooldown_time": router.cooldown_time,
        "max_fallbacks": router.max_fallbacks,
        "alias": router.model_group_alias,
        "auto": sorted(getattr(router, "complexity_routers", {})),
    }
    print("SEEN " + json.dumps(seen))


asyncio.run(main(sys.argv[1]))
