"""A callback of LiteLLM's own kind, as users write them: appends each standard logging payload to a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from litellm.integrations.custom_logger import CustomLogger  # type: ignore[import-not-found,unused-ignore]


class Payloads(CustomLogger):  # type: ignore[misc,unused-ignore]
    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self._write(kwargs)

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self._write(kwargs)

    def _write(self, kwargs: dict[str, Any]) -> None:
        with Path(os.environ["PAYLOADS"]).open("a") as file:
            file.write(json.dumps(kwargs.get("standard_logging_object"), default=str) + "\n")


payloads = Payloads()
