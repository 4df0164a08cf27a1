"""From spans to rows: which steps are one request, what it cost, and how long it took."""

from __future__ import annotations
