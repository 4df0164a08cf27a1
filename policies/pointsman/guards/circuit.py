"""The circuit breaker of one model: closed, open, half-open; its state can be shared between processes.

Standard library only. See `pointsman.guards.settings.Breaker` for the numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pointsman.guards.settings import Breaker
    from pointsman.guards.windows import RollingSums

__all__ = ["Answer", "Circuit", "CircuitState"]


class CircuitState(NamedTuple):
    """What is remembered, and shared, of a circuit. It is half-open when it has been open for ``open_s``.

    Attributes
    ----------
    epoch : int
        Counts the changes; of two states the one with the larger epoch is the newer.
    is_open : bool
    since : float
        Wall time of the change, s.
    why : str
        What opened it, in words.
    """

    epoch: int = 0
    is_open: bool = False
    since: float = 0.0
    why: str = ""


_CLOSED = CircuitState()


class Answer(NamedTuple):
    """What came of one request; None where it is not known.

    Attributes
    ----------
    ok : bool
    late : bool or None
    cost_usd, expected_usd : float or None
        What it cost, and what was expected.
    """

    ok: bool
    late: bool | None
    cost_usd: float | None
    expected_usd: float | None


class Circuit:
    """The breaker of one model, on a window and a state that may be shared; not locked.

    Parameters
    ----------
    model : str
    settings : Breaker
    window : RollingSums
        Of ``settings.window_s``.
    states : dict of str to CircuitState
        By model; read and set here, and wherever else the same model has a circuit.
    """

    def __init__(self, model: str, settings: Breaker, window: RollingSums, states: dict[str, CircuitState]) -> None:
        self.model = model
        self._settings = settings
        self._window = window
        self._states = states
        self._good_probes = (0, 0)  # the epoch, and how many in it
        names = ("answers", "errors", "timed", "late", "cost", "expected")
        self._keys = {name: f"{name}|{model}" for name in names}

    @property
    def state(self) -> CircuitState:
        """What is known of it."""
        return self._states.get(self.model, _CLOSED)

    def phase(self, now: float) -> str:
        """Return closed, open or half_open at a wall time, s."""
        state = self.state
        if not state.is_open:
            return "closed"
        if now < state.since:  # the clock was set back: open_s counts from now
            state = self._states[self.model] = state._replace(since=now)
        return "half_open" if now - state.since >= self._settings.open_s else "open"

    def record(self, answer: Answer, now: float, probe: int | None = None) -> None:
        """Count an answer, and change state where the numbers say so.

        Parameters
        ----------
        answer : Answer
        now : float
            Wall time, s.
        probe : int or None
            The epoch in which the request was let through as a probe.
        """
        self._count(answer, now)
        phase = self.phase(now)
        if phase == "closed":
            why = self._too_bad(now)
            if why:
                self._turn(is_open=True, now=now, why=why)
        elif phase == "half_open" and probe == self.state.epoch:
            fault = self._fault(answer)
            if fault:
                self._turn(is_open=True, now=now, why=f"a probe {fault}")
                return
            epoch, good = self._good_probes
            good = good + 1 if epoch == probe else 1
            self._good_probes = (probe, good)
            if good >= self._settings.half_open_probes:
                self._turn(is_open=False, now=now, why="")

    def _turn(self, *, is_open: bool, now: float, why: str) -> None:
        self._states[self.model] = CircuitState(self.state.epoch + 1, is_open, now, why)

    def _count(self, answer: Answer, now: float) -> None:
        add, keys = self._window.add, self._keys
        add(keys["answers"], 1, now)
        if not answer.ok:
            add(keys["errors"], 1, now)
        if answer.late is not None:
            add(keys["timed"], 1, now)
            if answer.late:
                add(keys["late"], 1, now)
        if answer.cost_usd is not None and answer.expected_usd is not None:
            add(keys["cost"], answer.cost_usd, now)
            add(keys["expected"], answer.expected_usd, now)

    def _sum(self, name: str, now: float) -> float:
        return self._window.total(self._keys[name], now, self.state.since)

    def _too_bad(self, now: float) -> str:
        """Return what in the window is beyond its limit; "" for nothing."""
        limits, answers = self._settings, self._sum("answers", now)
        if answers < limits.min_requests:
            return ""
        if limits.error_rate is not None:
            errors = self._sum("errors", now)
            if errors >= limits.error_rate * answers:
                return f"{errors / answers:.0%} of its last {answers:.0f} answers failed"
        if limits.late_rate is not None:
            timed, late = self._sum("timed", now), self._sum("late", now)
            if timed >= limits.min_requests and late >= limits.late_rate * timed:
                return f"{late / timed:.0%} of its last {timed:.0f} answers were late"
        if limits.cost_ratio is not None:
            cost, expected = self._sum("cost", now), self._sum("expected", now)
            if expected > 0 and cost > limits.cost_ratio * expected:
                return f"its answers cost {cost / expected:.1f} times what is expected"
        return ""

    def _fault(self, answer: Answer) -> str:
        """Return what is wrong with the answer to a probe; "" for nothing."""
        limits = self._settings
        if not answer.ok:
            return "failed"
        if limits.late_rate is not None and answer.late:
            return "was late"
        dear = limits.cost_ratio is not None and answer.cost_usd is not None and answer.expected_usd
        if dear and answer.cost_usd > limits.cost_ratio * answer.expected_usd:  # type: ignore[operator]
            return "was too dear"
        return ""
