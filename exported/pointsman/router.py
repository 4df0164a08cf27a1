"""The router: loads a bundle and sends each request to a model, on a CPU, with a reason that a person can read.

Standard library and numpy only; onnxruntime and tokenizers are imported when a bundle is loaded.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pointsman.background import Background
from pointsman.decide import CHARS_PER_TOKEN
from pointsman.decision import Decision
from pointsman.errors import PointsmanError
from pointsman.following import following
from pointsman.guards.ledger import Ledger
from pointsman.incoming import (
    MAX_CONTEXT_TOKENS,
    checked_amounts,
    checked_facts,
    checked_ids,
    checked_prompts,
    each_of,
    made_ids,
)
from pointsman.kill_switch import KillSwitch
from pointsman.live import LiveBundle
from pointsman.policy import MODALITIES
from pointsman.rollout import Rollout, Trial, compare
from pointsman.signature import read_public_key
from pointsman.tally import Tallies, Tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pointsman.bundle import Bundle
    from pointsman.decide import Reading
    from pointsman.decision_log import DecisionLog
    from pointsman.manifest import PublicKey
    from pointsman.policy import Policy
    from pointsman.session import Progress, Prompt, Session

__all__ = ["Decision", "Router", "Tally"]

ASYNC_THREADS = 4
"""Threads that `Router.aroute` may keep busy."""


class Router:
    """Routes requests by a bundle, with guards; safe to share between threads. Made by `Router.load`.

    Examples
    --------
    >>> router = Router.load("bundle")  # doctest: +SKIP
    >>> decision = router.route("Why does this loop never end?")  # doctest: +SKIP
    >>> decision.model  # doctest: +SKIP
    'small-precise'
    >>> router.report(decision, latency_ms=840, cost_usd=0.0004)  # doctest: +SKIP
    """

    def __init__(
        self,
        bundle: Bundle,
        session: Session,
        *,
        ledger: Ledger | None = None,
        kill_switch: KillSwitch | None = None,
        log: DecisionLog | None = None,
        threads: int = 1,
        signed_by: PublicKey | None = None,
    ) -> None:
        self.ledger = Ledger() if ledger is None else ledger
        self.kill_switch = KillSwitch(ledger=self.ledger, wall=self.ledger.wall) if kill_switch is None else kill_switch
        self.log = log
        self._load = partial(LiveBundle.load, ledger=self.ledger, threads=threads, signed_by=signed_by)
        self._rollout = Rollout(LiveBundle(bundle, session, self.ledger))
        self._changing = threading.Lock()
        self._lock = threading.Lock()
        self._tallies = Tallies()
        self._background = Background()
        self._pool: ThreadPoolExecutor | None = None

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        threads: int = 1,
        ledger: Ledger | None = None,
        kill_switch: KillSwitch | None = None,
        log: DecisionLog | None = None,
        require_signature: str | bytes | Path | None = None,
    ) -> Router:
        """Load and verify the bundle in folder `path`; the graph runs on `threads` threads.

        Parameters
        ----------
        ledger : Ledger, optional
            State of the guards; give it a store to share it between processes.
        kill_switch : KillSwitch, optional
            By default calls and the environment variable ``POINTSMAN_KILL`` throw it; give one with a file for that.
        log : DecisionLog, optional
        require_signature : str, bytes or Path, optional
            An ed25519 public key, PEM or its file: its owner must have signed this bundle and every one loaded later.

        Raises
        ------
        BundleError
            Where the bundle is truncated, altered, unsigned, or of a version or shape that this release does not load.
        """
        ledger = Ledger() if ledger is None else ledger
        signed_by = None if require_signature is None else read_public_key(require_signature)
        live = LiveBundle.load(path, ledger, threads, signed_by)
        parts: dict[str, Any] = {"ledger": ledger, "kill_switch": kill_switch, "log": log, "threads": threads}
        return cls(live.bundle, live.session, **parts, signed_by=signed_by)

    @property
    def bundle(self) -> Bundle:
        """The bundle that serves."""
        return self._rollout.live.bundle

    @property
    def policy(self) -> Policy:
        """Its policy."""
        return self._rollout.live.policy

    @property
    def version(self) -> str:
        """Its version, as decisions carry it."""
        return self._rollout.live.version

    def route(
        self,
        text: Prompt,
        *,
        modality: str = "text",
        context_tokens: int = 0,
        request_id: str | None = None,
        user_id: str | None = None,
    ) -> Decision:
        """Decide where one request goes: as `route_batch` of one does, and raising what it raises."""
        plain = type(text) is str and type(context_tokens) is int and 0 <= context_tokens <= MAX_CONTEXT_TOKENS
        rollout = self._rollout
        if plain and modality in MODALITIES and rollout.alone and self.kill_switch.state() is None:
            one_id = secrets.token_hex(16) if request_id is None else checked_ids([request_id], 1)[0]
            tokens = -(-len(text) // CHARS_PER_TOKEN) + context_tokens  # type: ignore[arg-type]
            decision = rollout.live.decide_one(text, modality, tokens, context_tokens, one_id)
            if self.log is not None:
                self.log.decision(decision, text, user_id)
            return decision
        ids = None if request_id is None else [request_id]
        return self.route_batch(
            [text], modality=modality, context_tokens=context_tokens, request_ids=ids, user_ids=[user_id]
        )[0]

    async def aroute(
        self,
        text: Prompt,
        *,
        modality: str = "text",
        context_tokens: int = 0,
        request_id: str | None = None,
        user_id: str | None = None,
    ) -> Decision:
        """Decide as `route` does, in a small pool of threads, while the event loop goes on."""
        facts: dict[str, Any] = {"modality": modality, "context_tokens": context_tokens}
        call = partial(self.route, text, **facts, request_id=request_id, user_id=user_id)
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(ASYNC_THREADS, thread_name_prefix="pointsman-route")
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def route_batch(
        self,
        texts: Sequence[Prompt],
        *,
        modality: str | Sequence[str] = "text",
        context_tokens: int | Sequence[int] = 0,
        request_ids: Sequence[str] | None = None,
        user_ids: Sequence[str | None] | None = None,
    ) -> list[Decision]:
        """Decide where each request goes.

        Parameters
        ----------
        texts : sequence of str, bytes or None
            Prompts of any kind and length: every one gets a decision.
        modality : str or sequence of str
            text, image or audio, of all or of each.
        context_tokens : int or sequence of int
            History and documents beyond the prompt, in tokens, of all or of each.
        request_ids : sequence of str, optional
            What throttle, exploration, canary and shadow are drawn by; made where not given. A request that is still
            under way must not share its id with another.
        user_ids : sequence of str or None, optional
            For the log alone.

        Raises
        ------
        PointsmanError
            Where a modality is unknown, context_tokens is negative, an id is none, or lengths differ.
        """
        prompts = checked_prompts(texts)
        facts = checked_facts(prompts, modality, context_tokens)
        count = len(prompts)
        contexts = each_of(context_tokens, count)
        ids = made_ids(count) if request_ids is None else checked_ids(request_ids, count)
        if user_ids is not None and len(user_ids) != count:
            raise PointsmanError(f"{len(user_ids)} values of user_ids for {count} prompts; one each is needed")
        rollout = self._rollout
        killed = self.kill_switch.state()
        if killed is not None:
            decisions = rollout.live.safe(killed, facts, contexts, ids)
        else:
            decisions = rollout.decide(prompts, facts, contexts, ids)
            for role, live, at in rollout.beside(ids):
                self._background.submit(partial(compare, role, live, at, prompts, facts, contexts, ids, self.log))
        if self.log is not None:
            users = user_ids or [None] * count
            for decision, prompt, user_id in zip(decisions, prompts, users, strict=True):
                self.log.decision(decision, prompt, user_id)
        return decisions

    def alone(
        self,
        texts: Sequence[Prompt],
        *,
        modality: str | Sequence[str] = "text",
        context_tokens: int | Sequence[int] = 0,
    ) -> list[Decision]:
        """Return what the bundle itself says of each request: no guards, no exploration, no kill-switch, no log."""
        prompts = checked_prompts(texts)
        facts = checked_facts(prompts, modality, context_tokens)
        ids = [f"alone-{number}" for number in range(len(prompts))]
        return self._rollout.live.decide_alone(prompts, facts, each_of(context_tokens, len(prompts)), ids)

    def read(self, texts: Sequence[Prompt], progress: Progress | None = None) -> Reading:
        """Return what the graph reads in n prompts, float32; `progress` gets (done, total)."""
        return self._rollout.live.session.read(checked_prompts(texts), progress)

    def token_ids(self, texts: Sequence[Prompt]) -> list[list[int]]:
        """Return the token ids that the graph reads of each prompt, after clipping."""
        return self._rollout.live.session.token_ids(checked_prompts(texts))

    def report(
        self,
        decision: Decision,
        ok: bool | None = None,
        latency_ms: float | None = None,
        cost_usd: float | None = None,
        *,
        status: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        useful: float | None = None,
    ) -> None:
        """Tell what came of a decision: breakers, budget and concurrency learn from it, and the log has it.

        Parameters
        ----------
        decision : Decision
            As `route` or `next` returned it.
        ok : bool, optional
            Whether the model answered; where not given, the status tells, and without one it did.
        latency_ms, cost_usd : float, optional
            Of this attempt: end to end, ms; full cost of the answer, USD.
        status : str, optional
            ok, timeout, error or the gateway's own word.
        input_tokens, output_tokens : int, optional
        useful : float, optional
            Whether the answer served the user, 0..1.

        Raises
        ------
        PointsmanError
            Where a number is negative or not finite, or `useful` is above 1.
        """
        checked_amounts(latency_ms=latency_ms, cost_usd=cost_usd, useful=useful)
        checked_amounts(input_tokens=input_tokens, output_tokens=output_tokens)
        ok = (status is None or status == "ok") if ok is None else ok
        status = status or ("ok" if ok else "error")
        self._rollout.of(decision).guards.report(
            decision.request_id,
            decision.model,
            ok=ok,
            timed_out=status == "timeout",
            latency_ms=latency_ms,
            cost_usd=cost_usd,
            expected_usd=decision.expected_cost_usd,
        )
        self._tallies.add(decision.model, ok=ok, latency_ms=latency_ms, cost_usd=cost_usd)
        if self.log is not None:
            self.log.outcome(
                decision,
                ok=ok,
                status=status,
                latency_ms=latency_ms,
                cost_usd=cost_usd,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                useful=useful,
            )

    def next(self, decision: Decision, failure: str, *, elapsed_ms: float | None = None) -> Decision | None:
        """Return the next attempt after a failure: a retry with its delay, a fallback, or None where nothing is left.

        Report the failed attempt too; `next` counts nothing but the retry that it grants.

        Parameters
        ----------
        decision : Decision
            The attempt that failed.
        failure : str
            timeout or error.
        elapsed_ms : float, optional
            How long the request has been under way, ms; measured from its first decision where not given.

        Raises
        ------
        PointsmanError
            Where `failure` is another word.
        """
        if elapsed_ms is None:
            elapsed_ms = max(self.ledger.wall() - decision.decided_at, 0.0) * 1000
        live, killed = self._rollout.of(decision), self.kill_switch.state()
        if killed is not None:
            live = self._rollout.live
        then = following(decision, failure, elapsed_ms, live, killed)
        if then is not None and self.log is not None:
            self.log.decision(then)
        return then

    @property
    def tally(self) -> Mapping[str, Tally]:
        """What was reported so far, per model: a copy."""
        return self._tallies.copy()

    @property
    def killed(self) -> bool:
        """Whether the kill-switch is on."""
        return self.kill_switch.state() is not None

    def kill(self, who: str = "", why: str = "") -> None:
        """Send everything to the policy's safe model, from the next decision on; no classifier is asked."""
        self.kill_switch.kill(who, why)

    def restore(self, who: str = "") -> None:
        """Take `kill` back: the policy decides again, unless a file or the environment keeps the switch on."""
        self.kill_switch.restore(who)

    def reload(self, path: str | Path) -> str:
        """Serve another bundle from now on and return its version; the old one is kept for `rollback`.

        Decisions under way are finished by the bundle that they began with. What guards know of the models stays.

        Raises
        ------
        BundleError
            Where the bundle is not to be used; the old one goes on serving.
        """
        with self._changing:
            self._rollout = self._rollout.reloaded(self._load(path))
            return self.version

    def rollback(self) -> str:
        """Serve the bundle before the last `reload` again, at once, and return its version.

        Raises
        ------
        PointsmanError
            Where there was none.
        """
        with self._changing:
            self._rollout = self._rollout.rolled_back()
            return self.version

    def canary(self, path: str | Path | None, share: float = 0.0) -> None:
        """Serve a share of the requests, 0..1, by another bundle; None ends it. The log has both decisions.

        Raises
        ------
        PointsmanError
            Where the share is out of range, or the bundle is not to be used; everything stays as it was.
        """
        with self._changing:
            self._rollout = replace(self._rollout, canary=self._trial(path, share))

    def shadow(self, path: str | Path | None, share: float = 0.0) -> None:
        """Ask another bundle about a share of the requests, 0..1, and serve nothing by it; None ends it.

        The log has both decisions. Shadows are computed after the decision, on a thread of their own; what that
        thread cannot keep up with is dropped and counted. Raises what `canary` raises.
        """
        with self._changing:
            self._rollout = replace(self._rollout, shadow=self._trial(path, share))

    def status(self) -> dict[str, Any]:
        """Return how things stand, as plain JSON values: version, bundles, kill-switch, guards, log, shadows."""
        rollout, killed = self._rollout, self.kill_switch.state()
        return {
            **rollout.status(),
            "killed": None if killed is None else killed._asdict(),
            "guards": rollout.live.guards.status(),
            "log_lost": None if self.log is None else self.log.lost,
            "beside": {"dropped": self._background.dropped, "failed": self._background.failed},
        }

    def settle(self) -> None:
        """Wait until all shadow decisions are computed and logged."""
        self._background.settle()

    def close(self) -> None:
        """Finish the shadows, end the threads and close the log."""
        self._background.close()
        if self._pool is not None:
            self._pool.shutdown()
        if self.log is not None:
            self.log.close()

    def _trial(self, path: str | Path | None, share: float) -> Trial | None:
        if not 0 <= share <= 1:
            raise PointsmanError(f"share is {share!r}; a number from 0 to 1 is needed")
        return None if path is None else Trial(self._load(path), share)
