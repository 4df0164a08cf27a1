"""Readers of the formats that traces arrive in: one module a format, one small pure function each."""

from __future__ import annotations
