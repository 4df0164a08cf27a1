"""The data profile: what the data report says, counted in one pass in order of time."""

from __future__ import annotations
