"""Closed forms of queueing theory that the load replay is held against: Erlang C (M/M/c), Pollaczek-Khinchine (M/G/1).

Rates are per second, times in seconds.
"""

from __future__ import annotations

import math

__all__ = ["erlang_c", "mg1_mean_wait", "mmc_mean_wait", "mmc_wait_above"]


def erlang_c(places: int, offered: float) -> float:
    """Return the probability that an arrival has to wait in M/M/c.

    By Erlang's recursion for B, then ``C = B / (1 - ρ (1 - B))`` (Erlang 1917; Cooper 1981, «Introduction to Queueing
    Theory», section 3.5).

    Parameters
    ----------
    places : int
        Servers, c.
    offered : float
        Offered load λ / μ, erlangs; below `places`.
    """
    blocked = 1.0
    for server in range(1, places + 1):
        blocked = offered * blocked / (server + offered * blocked)
    use = offered / places
    return blocked / (1 - use * (1 - blocked))


def mmc_mean_wait(rate: float, service_s: float, places: int) -> float:
    """Return the mean wait in M/M/c, s: ``C / (c μ - λ)``."""
    return erlang_c(places, rate * service_s) / (places / service_s - rate)


def mmc_wait_above(t: float, rate: float, service_s: float, places: int) -> float:
    """Return P(wait > t) in M/M/c with first come, first served: ``C exp(-(c μ - λ) t)``."""
    return erlang_c(places, rate * service_s) * math.exp(-(places / service_s - rate) * t)


def mg1_mean_wait(rate: float, mean_s: float, second_moment_s2: float) -> float:
    """Return the mean wait in M/G/1, s: ``λ E[S²] / (2 (1 - ρ))`` (Pollaczek 1930, Khinchine 1932)."""
    return rate * second_moment_s2 / (2 * (1 - rate * mean_s))
