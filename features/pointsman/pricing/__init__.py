"""Prices: what tokens cost by model and date, and the tables that say so."""

from __future__ import annotations
