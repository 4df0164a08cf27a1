"""Redaction: what must not be kept is replaced in texts."""

from __future__ import annotations
