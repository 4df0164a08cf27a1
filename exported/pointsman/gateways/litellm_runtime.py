"""The router inside LiteLLM's process: made once from environment variables, shared by the classifier and the hook.

Slim: LiteLLM itself is not imported here. The variables, which LiteLLM's own file may set under
``environment_variables``:

- ``POINTSMAN_BUNDLE``: folder of the bundle; needed.
- ``POINTSMAN_MODEL``: the model that clients ask for to be routed; ``pointsman`` where not set.
- ``POINTSMAN_KILL_FILE``: while this file exists, everything goes to the safe model.
- ``POINTSMAN_LOG``: the decision log; ``{pid}`` in it stands for the process, where there are several.
- ``POINTSMAN_LOG_PROMPTS``: ``true`` to write prompts into it; they are needed to train from it.
- ``POINTSMAN_REDIS_URL``: where several processes share what their guards know.
- ``POINTSMAN_PUBLIC_KEY``: file of the public key that the bundle must be signed for.
"""

from __future__ import annotations

import functools
import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pointsman.decision import Decision
from pointsman.decision_log import DecisionLog
from pointsman.errors import PointsmanError
from pointsman.gateways.chat_request import read_chat
from pointsman.guards.ledger import Ledger
from pointsman.guards.redis_store import RedisStore
from pointsman.incoming import MAX_ID_CHARS
from pointsman.kill_switch import KillSwitch
from pointsman.router import Router

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["KEY", "Runtime", "Settings", "metadata_of", "shared_runtime", "told"]

logger = logging.getLogger("pointsman.litellm")

KEY = "pointsman"
"""Under which a request's metadata has its decision."""

_BUCKETS = ("litellm_metadata", "metadata")
_YES = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True)
class Settings:
    """What the environment says; see the module.

    Attributes
    ----------
    bundle : str
    routed_model : str
    kill_file, log, redis_url, public_key : str or None
    log_prompts : bool
    """

    bundle: str
    routed_model: str = "pointsman"
    kill_file: str | None = None
    log: str | None = None
    log_prompts: bool = False
    redis_url: str | None = None
    public_key: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the variables.

        Raises
        ------
        PointsmanError
            Where POINTSMAN_BUNDLE is not set.
        """
        bundle = environment.get("POINTSMAN_BUNDLE")
        if not bundle:
            raise PointsmanError("the environment variable POINTSMAN_BUNDLE is not set; it names the bundle's folder")
        log = environment.get("POINTSMAN_LOG") or None
        return cls(
            bundle=bundle,
            routed_model=environment.get("POINTSMAN_MODEL") or cls.routed_model,
            kill_file=environment.get("POINTSMAN_KILL_FILE") or None,
            log=None if log is None else log.replace("{pid}", str(os.getpid())),
            log_prompts=environment.get("POINTSMAN_LOG_PROMPTS", "").strip().lower() in _YES,
            redis_url=environment.get("POINTSMAN_REDIS_URL") or None,
            public_key=environment.get("POINTSMAN_PUBLIC_KEY"),
        )

    def router(self) -> Router:
        """Load the bundle.

        Raises
        ------
        BundleError
            Where it is not to be used.
        """
        ledger = Ledger() if self.redis_url is None else Ledger(store=RedisStore(self.redis_url))
        log = None if self.log is None else DecisionLog(self.log, prompts=self.log_prompts)
        return Router.load(
            self.bundle,
            ledger=ledger,
            kill_switch=KillSwitch(file=self.kill_file, ledger=ledger),
            log=log,
            require_signature=self.public_key,
        )


class Runtime:
    """Decides about LiteLLM's requests and learns what came of them.

    Parameters
    ----------
    router : Router
    routed_model : str
        The model that clients ask for to be routed.
    """

    def __init__(self, router: Router, routed_model: str = Settings.routed_model) -> None:
        self.router = router
        self.routed_model = routed_model

    async def decide(self, body: Mapping[str, Any], *, request_id: Any = None, user_id: Any = None) -> Decision:
        """Decide where a chat request goes; ids that are none are replaced or left out."""
        asked = read_chat(body)
        if not (isinstance(request_id, str) and 0 < len(request_id) <= MAX_ID_CHARS):
            request_id = secrets.token_hex(16)
        return await self.router.aroute(
            asked.prompt,
            modality=asked.modality,
            context_tokens=asked.context_tokens,
            request_id=request_id,
            user_id=user_id if isinstance(user_id, str) and user_id else None,
        )

    def attempt(self, decision: Decision, model: str | None, failed: int) -> Decision:
        """Return the attempt that LiteLLM made on `model`, the first decision or a fallback of it."""
        models = self.router.policy.models
        if model is None or model == decision.model or model not in models:
            return decision
        return replace(
            decision,
            model=model,
            tier=models.index(model),
            p_useful=None,
            propensity=None,
            expected_cost_usd=None,
            tried=(decision.model,) * max(failed, 1),
            reason=f"{decision.model} failed; LiteLLM fell back to {model}",
        )

    def cost_usd(self, model: str, cost: Any, input_tokens: int | None, output_tokens: int | None) -> float | None:
        """Return what LiteLLM says an answer cost; where it knows no price, what the policy's prices say."""
        if isinstance(cost, int | float) and not isinstance(cost, bool) and cost > 0:
            return float(cost)
        price = next((one for one in self.router.policy.candidates if one.name == model), None)
        if price is None or input_tokens is None or output_tokens is None:
            return None
        if price.input_usd_per_mtok is None or price.output_usd_per_mtok is None:
            return None
        return (input_tokens * price.input_usd_per_mtok + output_tokens * price.output_usd_per_mtok) / 1e6


@functools.cache
def shared_runtime() -> Runtime:
    """Return the one runtime of this process, made from its environment when it is first asked for.

    Raises
    ------
    PointsmanError
        Where the environment or the bundle is not to be used.
    """
    settings = Settings.from_environment(os.environ)
    runtime = Runtime(settings.router(), settings.routed_model)
    router = runtime.router
    logger.info("%s: bundle %s routes %r", settings.bundle, router.version, settings.routed_model)
    return runtime


def metadata_of(data: MutableMapping[str, Any]) -> dict[str, Any]:
    """Return the metadata that LiteLLM keeps with a request, made where there is none."""
    name = _BUCKETS[0] if isinstance(data.get(_BUCKETS[0]), dict) else _BUCKETS[1]
    if not isinstance(data.get(name), dict):
        data[name] = {}
    held: dict[str, Any] = data[name]
    return held


def told(*holders: Any) -> Decision | None:
    """Return the decision that the metadata of one of these holders has; None where none has one."""
    for holder in holders:
        for name in _BUCKETS if isinstance(holder, Mapping) else ():
            bucket = holder.get(name)
            document = bucket.get(KEY) if isinstance(bucket, Mapping) else None
            if document is not None:
                try:
                    return Decision.from_dict(document)
                except PointsmanError as error:
                    logger.warning("a request's metadata has no decision: %s", error)
    return None
