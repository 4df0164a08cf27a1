"""What answers were worth: usefulness, hallucination and intents from scores, tags, status and behaviour."""

from __future__ import annotations
