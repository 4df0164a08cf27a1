"""A shared store in Redis: hashes of sums that expire by themselves, one round trip per exchange.

Needs the extra ``redis``; imported only when a store is made.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

from pointsman.errors import MissingExtraError
from pointsman.guards.circuit import CircuitState
from pointsman.guards.store import KillRecord, Shared, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["RedisStore"]


class RedisStore:
    """State of several gateway processes in one Redis; see `pointsman.guards.store.Store`.

    After a failure it is not asked again for `retry_s`: a decision waits for a dead server at most once in that time,
    and no longer than `timeout_s` to connect and `timeout_s` to be answered.

    Parameters
    ----------
    url : str
        ``redis://[[user]:password@]host[:port][/database]``, ``rediss://`` or ``unix://``.
    prefix : str
        Of its keys: gateways that share a prefix share their state.
    timeout_s, retry_s : float
        s.
    clock : callable
        Monotonic time, s.
    """

    def __init__(
        self,
        url: str,
        prefix: str = "pointsman",
        timeout_s: float = 0.05,
        retry_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            import redis  # type: ignore[import-not-found,unused-ignore]
            from redis.backoff import NoBackoff  # type: ignore[import-not-found,unused-ignore]
            from redis.retry import Retry  # type: ignore[import-not-found,unused-ignore]
        except ImportError as error:
            raise MissingExtraError("redis", "redis") from error
        self._errors = (redis.RedisError, OSError, UnicodeDecodeError)
        try:
            self._redis: Any = redis.Redis.from_url(
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                decode_responses=True,
                # One more try at once: a server that came back leaves broken connections in the pool.
                retry=Retry(NoBackoff(), 1),
                retry_on_error=[redis.ConnectionError],
                retry_on_timeout=False,
            )
        except ValueError as error:
            raise StoreError(f"redis url {url.split('@')[-1]!r}: {error}") from error
        self._prefix = prefix
        self._retry_s = retry_s
        self._clock = clock
        self._lock = threading.Lock()
        self._away_until = float("-inf")

    def exchange(
        self,
        process: str,
        sums: Mapping[str, Mapping[int, Mapping[str, float]]],
        circuits: Mapping[str, CircuitState],
        wanted: Mapping[str, Sequence[int]],
    ) -> Shared:
        """See `pointsman.guards.store.Store.exchange`."""
        pipe = self._redis.pipeline(transaction=False)
        skipped = 0
        for window, parts in sums.items():
            span_s = float(window.partition(":")[0])
            for index, part in parts.items():
                key = self._key(window, index)
                pipe.hset(key, mapping={f"{process}|{name}": repr(value) for name, value in part.items()})
                pipe.expire(key, int(2 * span_s) + 60)
                skipped += 2
        if circuits:
            pipe.hset(self._key("circuits"), mapping={model: json.dumps(state) for model, state in circuits.items()})
            skipped += 1
        places = [(window, index) for window, indexes in wanted.items() for index in indexes]
        for window, index in places:
            pipe.hgetall(self._key(window, index))
        pipe.hgetall(self._key("circuits"))
        *buckets, states = self._asked(pipe.execute)[skipped:]
        shared = Shared({window: {} for window in wanted}, {})
        for (window, index), fields in zip(places, buckets, strict=True):
            by_process: dict[str, dict[str, float]] = {}
            for field, value in fields.items():
                owner, _, name = field.partition("|")
                by_process.setdefault(owner, {})[name] = _number(value)
            shared.sums[window][index] = by_process
        for model, document in states.items():
            state = _state(document)
            if state is not None:
                shared.circuits[model] = state
        return shared

    def read_kill(self) -> KillRecord | None:
        """See `pointsman.guards.store.Store.read_kill`."""
        document = self._asked(lambda: self._redis.get(self._key("kill")))
        if document is None:
            return None
        try:
            on, who, why, when = json.loads(document)
            return KillRecord(bool(on), str(who), str(why), float(when))
        except (ValueError, TypeError):
            raise StoreError("the shared kill-switch is not in the form of this release") from None

    def write_kill(self, record: KillRecord) -> None:
        """See `pointsman.guards.store.Store.write_kill`."""
        self._asked(lambda: self._redis.set(self._key("kill"), json.dumps(record)))

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _asked(self, call: Callable[[], Any]) -> Any:
        if self._clock() < self._away_until:
            raise StoreError("redis was away a moment ago")
        try:
            return call()
        except self._errors as error:
            with self._lock:
                self._away_until = self._clock() + self._retry_s
            raise StoreError(f"redis is away: {type(error).__name__}: {error}") from error

    def _key(self, *parts: object) -> str:
        return ":".join(map(str, (self._prefix, *parts)))


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0


def _state(document: str) -> CircuitState | None:
    try:
        epoch, is_open, since, why = json.loads(document)
        return CircuitState(int(epoch), bool(is_open), float(since), str(why))
    except (ValueError, TypeError):
        return None
