"""A classifier for LiteLLM's complexity router: each tier is a candidate, and the policy says which.

In LiteLLM's file, ``classifier_type: custom`` and ``classifier_plugin: pointsman.gateways.litellm_plugin.classifier``;
`pointsman.gateways.render_litellm` writes it. In the proxy, `pointsman.gateways.litellm_hook.observer` belongs beside
it: it tells clients and logs of the decision, and tells the router what came of it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pointsman.gateways.litellm_runtime import shared_runtime, told

if TYPE_CHECKING:
    from pointsman.gateways.litellm_runtime import Runtime

__all__ = ["Classifier", "tier_name"]

logger = logging.getLogger("pointsman.litellm")


def tier_name(model: str) -> str:
    """Return the tier that stands for a candidate: its name."""
    return model


class Classifier:
    """Tells LiteLLM the tier of a request; has the form of LiteLLM's ``ClassifierPlugin``.

    Parameters
    ----------
    runtime : Runtime
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def __deepcopy__(self, memo: dict[int, Any]) -> Classifier:
        """Return itself: LiteLLM copies its settings with what is in them, and a router is not to be copied."""
        return self

    async def classify(self, context: Any) -> str | None:
        """Return the tier of a request; where the hook decided before, the tier of that decision.

        Parameters
        ----------
        context : RoutingContext
            LiteLLM's: ``structured_messages`` in the form of chat completions, ``raw_messages``, ``metadata``.

        Returns
        -------
        str or None
            None leaves it to LiteLLM's ``fallback_tier``, which is the safe model's.
        """
        try:
            decision = told({"metadata": context.metadata})
            if decision is None:
                messages = list(context.structured_messages or context.raw_messages)
                user = context.metadata.get("user_api_key_end_user_id")
                decision = await self.runtime.decide({"messages": messages}, user_id=user)
        except Exception:  # whatever a request holds, it must be answered: by the safe model
            logger.exception("a request could not be classified; LiteLLM's fallback_tier has it")
            return None
        return tier_name(decision.model)


def __getattr__(name: str) -> Any:
    """Make `classifier` when LiteLLM asks for it, from the environment."""
    if name == "classifier":
        return Classifier(shared_runtime())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
