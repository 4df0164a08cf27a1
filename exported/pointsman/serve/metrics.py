"""Metrics in Prometheus' text format, in a registry of their own: several sidecars may live in one process.

Labels are endpoints, statuses and the policy's candidates: their number is bounded, and no prompt is among them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pointsman.decision import Decision
    from pointsman.router import Router
    from pointsman.serve.limits import Lane

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PHASES = ("closed", "half_open", "open")
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """What the sidecar counts, and what its router knows at the moment of asking."""

    def __init__(self, router: Router, lanes: Sequence[Lane]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "pointsman_http_requests", "HTTP requests by endpoint and status.", ("endpoint", "status"),
            registry=self._registry,
        )  # fmt: skip
        self._decisions = Counter(
            "pointsman_decisions", "Decisions by model and what made them.", ("model", "by"), registry=self._registry
        )
        self._seconds = Histogram(
            "pointsman_decision_seconds", "From the parsed request to its decision, waiting included, by endpoint.",
            ("endpoint",), buckets=SECONDS, registry=self._registry,
        )  # fmt: skip
        self._registry.register(_Standing(router, lanes))

    def answered(self, endpoint: str, status: int) -> None:
        """Count an HTTP request."""
        self._requests.labels(endpoint, str(status)).inc()

    def decided(self, endpoint: str, decisions: Iterable[Decision], seconds: float) -> None:
        """Count decisions that were made together."""
        self._seconds.labels(endpoint).observe(seconds)
        for decision in decisions:
            self._decisions.labels(decision.model, _maker(decision)).inc()

    def text(self) -> bytes:
        """Return all of them as Prometheus reads them."""
        return generate_latest(self._registry)


def _maker(decision: Decision) -> str:
    if decision.killed:
        return "kill_switch"
    if decision.attempt:
        return "retry" if decision.tried[-1] == decision.model else "fallback"
    if decision.degraded is not None:
        return decision.degraded
    if decision.explored:
        return "exploration"
    return "guards" if decision.barred else "rule"


class _Standing(Collector):
    """Reads router and lanes when asked."""

    def __init__(self, router: Router, lanes: Sequence[Lane]) -> None:
        self._router = router
        self._lanes = lanes

    def collect(self) -> Iterator[Metric]:
        status, tally = self._router.status(), self._router.tally
        guards = status["guards"]
        yield _gauge("pointsman_killed", "Whether the kill-switch is on.", {(): status["killed"] is not None})
        bundles: dict[tuple[str, ...], float] = {("live", status["version"]): 1}
        if status["previous"] is not None:
            bundles["previous", status["previous"]] = 1
        for role in ("canary", "shadow"):
            if status[role] is not None:
                bundles[role, status[role]["version"]] = status[role]["share"]
        yield _gauge("pointsman_bundle", "Bundles held; of canary and shadow the share.", bundles, "role", "version")
        yield _gauge(
            "pointsman_lane_held", "Under way or waiting.", {(one.name,): one.held for one in self._lanes}, "lane"
        )
        yield _gauge("pointsman_lane_limit", "At most.", {(one.name,): one.most for one in self._lanes}, "lane")
        models = guards["models"]
        phases = {(name, phase): one["phase"] == phase for name, one in models.items() for phase in PHASES}
        yield _gauge("pointsman_breaker", "1 for the phase that it is in.", phases, "model", "phase")
        under_way = {(name,): one["under_way"] for name, one in models.items() if one["under_way"] is not None}
        yield _gauge("pointsman_under_way", "Requests at models with a concurrency limit.", under_way, "model")
        spent = {(span,): usd for span, usd in guards["spent_usd"].items()}
        yield _gauge("pointsman_spent_usd", "Of each budget, USD.", spent, "span")
        yield _gauge("pointsman_budget_squeeze", "How near the budget is, 0..1.", {(): guards["squeeze"]})
        yield _gauge("pointsman_store_away", "Whether the shared store does not answer.", {(): guards["store_away"]})
        yield _counter("pointsman_store_failures", "Of the shared store.", {(): guards["store_failures"]})
        yield _counter("pointsman_log_lines_lost", "Of the decision log.", {(): status["log_lost"] or 0})
        dropped = {("dropped",): status["beside"]["dropped"], ("failed",): status["beside"]["failed"]}
        yield _counter("pointsman_shadows_missed", "Shadow decisions not made.", dropped, "why")
        for name, words, key in (
            ("pointsman_reports", "Reports.", "requests"),
            ("pointsman_reported_failures", "Of them failures.", "failures"),
            ("pointsman_reported_timed", "Of them with a latency.", "timed"),
            ("pointsman_reported_latency_ms", "Sum of their latencies, ms.", "latency_ms"),
            ("pointsman_reported_priced", "Of them with a cost.", "priced"),
            ("pointsman_reported_cost_usd", "Sum of their costs, USD.", "cost_usd"),
        ):
            yield _counter(name, words, {(model,): getattr(one, key) for model, one in tally.items()}, "model")


def _gauge(name: str, words: str, values: Mapping[Any, float], *labels: str) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=labels)
    for label, value in values.items():
        family.add_metric(label, float(value))
    return family


def _counter(name: str, words: str, values: Mapping[Any, float], *labels: str) -> CounterMetricFamily:
    family = CounterMetricFamily(name, words, labels=labels)
    for label, value in values.items():
        family.add_metric(label, float(value))
    return family
