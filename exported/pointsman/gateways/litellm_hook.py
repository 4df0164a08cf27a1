"""LiteLLM's callbacks: route a request before it is called, tell the client why, and tell the router what came of it.

Needs LiteLLM, whose proxy makes one of two under ``litellm_settings: callbacks``:

- ``pointsman.gateways.litellm_hook.hook`` puts the chosen model into requests for the routed model; any version.
- ``pointsman.gateways.litellm_hook.observer`` leaves the model to `pointsman.gateways.litellm_plugin.classifier`.

Both decide in `async_pre_call_hook`, so that the decision stands in the request's metadata from then on: LiteLLM's
fallbacks for this request are the decision's, its logs carry the tags, and its answers the headers.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from litellm.integrations.custom_logger import CustomLogger  # type: ignore[import-not-found,unused-ignore]

from pointsman.gateways.litellm_runtime import KEY, metadata_of, shared_runtime, told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.decision import Decision
    from pointsman.gateways.litellm_runtime import Runtime

__all__ = ["PointsmanHook", "headers"]

logger = logging.getLogger("pointsman.litellm")

_LONGEST = 500
_REFUSED = frozenset({400, 413, 422})
"""Status codes of requests that the model refused for what they are: it is well."""


class PointsmanHook(CustomLogger):  # type: ignore[misc,unused-ignore]
    """Routes and reports; has the form of LiteLLM's ``CustomLogger``.

    Parameters
    ----------
    runtime : Runtime
    chooses : bool
        Whether it puts the chosen model into the request; else LiteLLM's complexity router does, by our classifier.
    """

    def __init__(self, runtime: Runtime, *, chooses: bool = True) -> None:
        super().__init__()
        self.runtime = runtime
        self.chooses = chooses

    async def async_pre_call_hook(
        self,
        user_api_key_dict: Any,
        cache: Any,  # noqa: ARG002 -- the names are LiteLLM's
        data: dict[str, Any],
        call_type: Any,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Decide about a request for the routed model; all others pass as they are."""
        for name in ("metadata", "litellm_metadata"):
            if isinstance(data.get(name), dict):
                data[name].pop(KEY, None)  # a client must not tell us what we decided
        if data.get("model") != self.runtime.routed_model:
            return data
        try:
            user = data.get("user") or getattr(user_api_key_dict, "end_user_id", None)
            user = user or getattr(user_api_key_dict, "user_id", None)
            decision = await self.runtime.decide(data, request_id=data.get("litellm_call_id"), user_id=user)
            _tell(decision, data)
        except Exception:  # whatever a request holds, it must be answered: by the safe model
            safe = self.runtime.router.policy.safe_model
            logger.exception("a request could not be routed; it goes to the safe model %s", safe)
            if self.chooses:
                data["model"] = safe
            return data
        if self.chooses:
            data["model"] = decision.model
        return data

    async def async_post_call_response_headers_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: Any,  # noqa: ARG002
        response: Any,  # noqa: ARG002
        **more: Any,  # noqa: ARG002
    ) -> dict[str, str] | None:
        """Return the headers of an answer, streamed ones and failures too."""
        decision = told(data)
        return None if decision is None else headers(decision)

    async def async_post_call_success_hook(
        self,
        data: dict[str, Any],
        user_api_key_dict: Any,  # noqa: ARG002
        response: Any,
    ) -> Any:
        """Give an answer its headers where LiteLLM is too old to ask for them."""
        decision = told(data)
        hidden = getattr(response, "_hidden_params", None)
        asks = hasattr(CustomLogger, "async_post_call_response_headers_hook")
        if decision is not None and isinstance(hidden, dict) and not asks:
            hidden["additional_headers"] = {**(hidden.get("additional_headers") or {}), **headers(decision)}
        return response

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """Report an answer: latency, cost, tokens."""
        self._report(kwargs, response_obj, start_time, end_time)

    async def async_log_failure_event(
        self,
        kwargs: dict[str, Any],
        response_obj: Any,  # noqa: ARG002
        start_time: Any,
        end_time: Any,
    ) -> None:
        """Report a failed attempt: each has its event, retries and fallbacks too."""
        self._report(kwargs, None, start_time, end_time, kwargs.get("exception") or Exception("unknown"))

    def _report(
        self, kwargs: Mapping[str, Any], response: Any, start: Any, end: Any, failure: BaseException | None = None
    ) -> None:
        params = kwargs.get("litellm_params")
        decision = told(params, kwargs)
        if decision is None:
            return
        group, failed = _group(params, kwargs)
        attempt = self.runtime.attempt(decision, group, failed)
        usage = getattr(response, "usage", None)
        read, wrote = (
            _count(usage, "prompt_tokens", "input_tokens"),
            _count(usage, "completion_tokens", "output_tokens"),
        )
        cached = kwargs.get("cache_hit") is True
        cost = 0.0 if cached else self.runtime.cost_usd(attempt.model, kwargs.get("response_cost"), read, wrote)
        ok, status = _outcome(failure)
        try:
            self.runtime.router.report(
                attempt,
                ok=ok,
                latency_ms=_milliseconds(start, end),
                cost_usd=cost if failure is None else None,
                status=status,
                input_tokens=read,
                output_tokens=wrote,
            )
        except Exception:  # what LiteLLM measured must not break its other loggers
            logger.exception("an answer could not be reported")


def headers(decision: Decision) -> dict[str, str]:
    """Return a decision as headers of a response, ASCII of at most 500 characters each."""
    found: dict[str, Any] = {
        "model": decision.model,
        "intent": decision.intent,
        "reason": decision.reason,
        "propensity": decision.propensity,
        "p-useful": decision.p_useful,
        "request-id": decision.request_id,
        "version": decision.version,
        "killed": "true" if decision.killed else None,
        "degraded": decision.degraded,
        "cached-answer": decision.cached_answer,
    }
    return {f"x-pointsman-{name}": _header(value) for name, value in found.items() if value is not None}


def _header(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    printable = "".join(one if " " <= one <= "~" else "?" if one > "~" else " " for one in text)
    return " ".join(printable.split())[:_LONGEST]


def _tell(decision: Decision, data: dict[str, Any]) -> None:
    """Put a decision into the request: for our callbacks, for LiteLLM's logs, and as its fallbacks."""
    metadata = metadata_of(data)
    metadata[KEY] = decision.to_dict()
    own = metadata.get("spend_logs_metadata")
    tags = {
        "pointsman.model": decision.model,
        "pointsman.intent": decision.intent,
        "pointsman.propensity": decision.propensity,
        "pointsman.explored": decision.explored,
        "pointsman.version": decision.version,
        "pointsman.request_id": decision.request_id,
        "pointsman.reason": decision.reason,
        "pointsman.killed": decision.killed,
    }
    told_tags = {name: value for name, value in tags.items() if value is not None}
    metadata["spend_logs_metadata"] = {**(own if isinstance(own, dict) else {}), **told_tags}
    data.setdefault("fallbacks", list(decision.fallbacks))


def _group(params: Any, kwargs: Mapping[str, Any]) -> tuple[str | None, int]:
    """Return which model group made an attempt, and how many fallbacks had been made for it."""
    for name in ("litellm_metadata", "metadata"):
        for holder in (params, kwargs):
            held = holder.get(name) if hasattr(holder, "get") else None
            if isinstance(held, dict) and isinstance(held.get("model_group"), str):
                count = held.get("attempted_fallbacks")
                return held["model_group"], count if isinstance(count, int) else 0
    return None, 0


def _outcome(failure: BaseException | None) -> tuple[bool, str]:
    """Return whether the model is well, and in a word what happened."""
    if failure is None:
        return True, "ok"
    code = getattr(failure, "status_code", None)
    if "timeout" in type(failure).__name__.lower() or code in {408, 504}:
        return False, "timeout"
    return (True, "refused") if code in _REFUSED else (False, "error")


def _count(usage: Any, *names: str) -> int | None:
    for name in names:
        value = usage.get(name) if isinstance(usage, dict) else getattr(usage, name, None)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


def _milliseconds(start: Any, end: Any) -> float | None:
    if isinstance(start, datetime) and isinstance(end, datetime):
        return max((end - start) / timedelta(milliseconds=1), 0.0)
    return None


def __getattr__(name: str) -> Any:
    """Make `hook` or `observer` when LiteLLM asks for it, from the environment."""
    if name in {"hook", "observer"}:
        return PointsmanHook(shared_runtime(), chooses=name == "hook")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
