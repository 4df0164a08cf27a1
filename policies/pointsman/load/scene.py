"""A scene: a policy, the requests it decides, what their calls do, and what traffic of them comes; before and after."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pointsman.decide import Beliefs, Facts, believe, decide
from pointsman.errors import TraceError
from pointsman.load.arrivals import Arrivals, own_times, poisson, read_arrivals
from pointsman.load.calls import Calls, calls_of, latency_models, with_lengths
from pointsman.load.latency import LatencyModel
from pointsman.load.system import System, choices_without, places_of
from pointsman.replay import baseline_columns, facts_of
from pointsman.spec import BEST_SINGLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from pointsman.decide import Reading
    from pointsman.outcomes import Outcomes
    from pointsman.policy import Policy
    from pointsman.spec import RoutingSpec

__all__ = ["SECONDS_PER_MONTH", "Scene", "given_latency", "set_scene", "with_guards"]

SECONDS_PER_MONTH = 30 * 86_400


@dataclass(frozen=True, eq=False)
class Scene:
    """What load replays of one bundle on one set of requests have in common.

    Attributes
    ----------
    policy : Policy
        m candidates.
    outcomes : Outcomes
        b requests by time, complete, columns in the policy's order.
    beliefs, facts : Beliefs, Facts
        Of them.
    latency : tuple of LatencyModel
        Of each candidate.
    calls : Calls
        Of them.
    before : (b,) intp array
        What production serves each with.
    baseline : str
    places : (m,) int64 array
        0 for no limit.
    rate : float
        Requests per second that the commands take where none is named.
    arrivals : str
        own, poisson, or the path of a trace.
    limit_ms : float or None
        The spec's P95.
    """

    policy: Policy
    outcomes: Outcomes
    beliefs: Beliefs
    facts: Facts
    latency: tuple[LatencyModel, ...]
    calls: Calls
    before: NDArray[np.intp]
    baseline: str
    places: NDArray[np.int64]
    rate: float
    arrivals: str = "poisson"
    limit_ms: float | None = None

    @cached_property
    def table(self) -> NDArray[np.int8] | None:
        """What is chosen without barred candidates; None for so many that it would be too large."""
        return choices_without(self.beliefs, self.policy) if len(self.policy.candidates) <= 12 else None

    @property
    def slowdown(self) -> NDArray[np.float64]:
        """How much slower each candidate is with all places taken, (m,)."""
        return np.array([one.slowdown for one in self.latency])

    @property
    def after(self) -> NDArray[np.intp]:
        """What the policy chooses for each request when no guard stands in its way, (b,)."""
        return decide(self.beliefs, self.policy.rule)

    def coming(self, rate: float, n: int, seed: int = 0) -> Arrivals:
        """Return n arrivals at a rate: as the scene says they come."""
        if self.arrivals == "poisson":
            return poisson(rate, n, seed)
        if self.arrivals == "own":
            return own_times(self.outcomes.timestamp, rate, n, seed)
        return read_arrivals(self.arrivals).repeated(n).at_rate(rate)

    def system(
        self, arrivals: Arrivals, *, before: bool = False, policy: Policy | None = None, seed: int = 0
    ) -> System:
        """Return the system that these arrivals meet: the policy with its guards, or production before.

        Parameters
        ----------
        arrivals : Arrivals
            They stand for the requests nearest to them, or for one after the other.
        before : bool
        policy : Policy, optional
            The scene's with other guards or fallbacks.
        seed : int
        """
        n, b = len(arrivals), len(self.outcomes)
        body = np.arange(n) % b if arrivals.nearest is None else arrivals.nearest
        calls, call = self.calls, body
        if arrivals.input_tokens is not None:
            told = (body, arrivals, self.outcomes, self.latency, self.policy.candidates)
            calls, call = with_lengths(self.calls, *told), np.arange(n)
        return System(
            policy=policy or self.policy,
            beliefs=self.beliefs,
            facts=self.facts,
            calls=calls,
            arrival_s=arrivals.time_s,
            body=body,
            call=call,
            places=self.places,
            slowdown=self.slowdown,
            fixed=self.before[body] if before else None,
            seed=seed,
            table=self.table,
        )

    def capacity(self, columns: NDArray[np.intp]) -> float:
        """Return the rate at which the first model is full, per second, when requests go there; infinite without limit.

        Parameters
        ----------
        columns : (b,) intp array
            Where each of the requests goes.
        """
        work = np.zeros(len(self.places))
        np.add.at(work, columns, self.calls.service_ms[np.arange(len(columns)), columns] / 1000)
        limited = (self.places > 0) & (work > 0)
        rates = self.places[limited] * len(columns) / (work * (1 + self.slowdown))[limited]
        return float(rates.min(initial=np.inf))

    def modelled(self) -> list[str]:
        """Return what is not measured, in words."""
        words = ["waits in queues, first come first served, in front of each model's places"]
        if (self.slowdown > 0).any():
            words.append("slowdown with concurrency, as it was when a call began")
        else:
            words.append("no slowdown with concurrency: the traces tell of none, and none is given")
        words.append("a second call to a model: its usual error rate, and what it is worth for the intent")
        if self.arrivals not in {"own", "poisson"}:
            words.append("latency and cost at the trace's lengths")
        return words


def set_scene(
    outcomes: Outcomes,
    reading: Reading,
    policy: Policy,
    spec: RoutingSpec,
    *,
    rate: float | None = None,
    arrivals: str | None = None,
    places: Mapping[str, int] | None = None,
    latency: Mapping[str, LatencyModel] | None = None,
    first_token_ms: NDArray[np.float64] | None = None,
) -> Scene:
    """Return the scene of a policy on requests whose outcomes are all known.

    Parameters
    ----------
    outcomes : Outcomes
        Complete, by time.
    reading : Reading
        Of their prompts.
    policy : Policy
    spec : RoutingSpec
        Names the baseline, and under ``load`` what is not named here.
    rate : float, optional
        Requests per second; else the spec's ``load.rate_per_s``, its ``requests_per_month``, or as logged.
    arrivals : str, optional
        own, poisson (default), or the path of a trace.
    places : mapping of str to int, optional
        Requests that a model serves at once; else its ``concurrency``.
    latency : mapping of str to LatencyModel, optional
        Given models; the others are fitted.
    first_token_ms : (b, m) float64 array, optional
    """
    outcomes = outcomes.reorder(policy.models)
    facts = facts_of(outcomes)
    beliefs = believe(reading, facts, policy)
    baseline = str(policy.evidence["baseline"]) if spec.baseline == BEST_SINGLE else spec.baseline
    if rate is not None and not 0 < rate < float("inf"):
        raise TraceError(f"rate is {rate:g}; a number above 0 is needed, requests per second")
    said = spec.load
    seats = places_of(policy, {**said.concurrency, **(places or {})})
    models = latency_models(outcomes, {**given_latency(spec), **(latency or {})}, seats, first_token_ms)
    rate = said.rate_per_s if rate is None else rate
    if rate is None and spec.requests_per_month is not None:
        rate = spec.requests_per_month / SECONDS_PER_MONTH
    if rate is None:
        rate = own_times(outcomes.timestamp).rate
    return Scene(
        policy,
        outcomes,
        beliefs,
        facts,
        models,
        calls_of(outcomes, models),
        baseline_columns(outcomes, baseline),
        baseline,
        seats,
        rate,
        arrivals or said.arrivals,
        spec.constraints.p95_latency_ms,
    )


def given_latency(spec: RoutingSpec) -> dict[str, LatencyModel]:
    """Return the latency models that a spec gives under ``load.latency``."""
    return {
        name: LatencyModel(one.base_ms, one.ms_per_input_token, one.ms_per_output_token, one.slowdown)
        for name, one in spec.load.latency.items()
    }


def with_guards(policy: Policy, **guards: Any) -> Policy:
    """Return the policy with some guards exchanged."""
    return replace(policy, guards=replace(policy.guards, **guards))
