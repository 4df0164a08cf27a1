"""The store in a real Redis: processes share state through it, and go on alone while it is away."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from pointsman.guards.circuit import CircuitState
from pointsman.guards.guards import Guards
from pointsman.guards.ledger import Ledger
from pointsman.guards.redis_store import RedisStore
from pointsman.guards.settings import Breaker, Budget, GuardSettings
from pointsman.guards.store import KillRecord, StoreError
from pointsman.policy import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.policies.guards.conftest import Clock

redis = pytest.importorskip("redis", reason="the extra redis is not installed")
pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not on the PATH")

SETTINGS = GuardSettings(breaker=Breaker(error_rate=0.5, min_requests=4), budget=Budget(usd_per_hour=10))


class Server:
    """A Redis of our own on a free port, without persistence: it comes back empty."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        words = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        client = redis.Redis.from_url(self.url)
        for _ in range(500):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.01)
        client.close()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    yield one
    one.stop()


def gateway(server: Server, clock: Clock) -> Guards:
    """Return the guards of one process: the store's own clock is the test's."""
    ledger = Ledger(RedisStore(server.url, timeout_s=2.0, clock=clock), clock, clock, refresh_s=0.0)
    return Guards(SETTINGS, (Candidate("small"), Candidate("large")), ledger)


def test_what_is_set_is_given_back(server: Server) -> None:
    store = RedisStore(server.url, timeout_s=2.0)
    assert store.read_kill() is None
    store.write_kill(KillRecord(True, "ann", "costs: ü", 5.0))
    assert store.read_kill() == KillRecord(True, "ann", "costs: ü", 5.0)
    sums = {"60:12": {7: {"errors|a|b": 1.5}}}
    states = {"big:v2": CircuitState(3, True, 9.0, "50% failed")}
    for _ in range(2):  # sent twice: counted once
        shared = store.exchange("p1", sums, states, {"60:12": [7, 6]})
    assert shared.sums == {"60:12": {7: {"p1": {"errors|a|b": 1.5}}, 6: {}}}
    assert shared.circuits == states
    other = store.exchange("p2", {"60:12": {7: {"x": 1.0}}}, {}, {"60:12": [7]})
    assert other.sums["60:12"][7] == {"p1": {"errors|a|b": 1.5}, "p2": {"x": 1.0}}
    assert RedisStore(server.url, prefix="elsewhere", timeout_s=2.0).read_kill() is None
    client = redis.Redis.from_url(server.url)
    assert client.ttl("pointsman:60:12:7") > 0, "buckets leave by themselves"


def test_gateways_share_through_a_server_that_dies_and_comes_back(server: Server, clock: Clock) -> None:
    one, other = gateway(server, clock), gateway(server, clock)
    for guards in (one, other):
        guards.admit("a", 1, 2.0)
        guards.report("f1", "small", ok=False)
        guards.report("f2", "small", ok=False)
    for guards in (one, other):
        assert guards.bars(["a"]) is not None
        assert guards.barred("small") is not None
        assert guards.status()["spent_usd"] == {"hour": 4.0}
        assert not guards.status()["store_away"]

    server.stop()
    one.admit("b", 1, 1.0)
    for _ in range(3):
        assert one.bars(["b"]) is not None, "what was known stays known"
    assert one.status()["store_away"]
    assert one.status()["spent_usd"] == {"hour": 5.0}
    assert one.status()["store_failures"] == 3
    other.bars(["b"])
    assert other.status()["spent_usd"] == {"hour": 4.0}

    server.start()  # empty
    clock.pass_by(1.1)
    for guards in (one, other, one, other, one):
        guards.bars(["c"])
        clock.pass_by(1.1)
    for guards in (one, other):
        assert not guards.status()["store_away"]
        assert guards.status()["spent_usd"] == {"hour": 5.0}, "nothing is lost and nothing counts twice"
        assert guards.barred("small") is not None
    newcomer = gateway(server, clock)
    newcomer.bars(["d"])
    assert newcomer.barred("small") is not None
    assert newcomer.status()["spent_usd"] == {"hour": 5.0}


def test_a_server_that_hangs_is_waited_for_once(clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        store = RedisStore(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", timeout_s=0.05, clock=clock)
        with pytest.raises(StoreError, match="redis is away"):
            store.read_kill()
        with pytest.raises(StoreError, match="away a moment ago"):
            store.read_kill()
        clock.pass_by(1.0)
        with pytest.raises(StoreError, match="redis is away"):
            store.read_kill()


def test_strange_values_in_it_do_no_harm(server: Server) -> None:
    client = redis.Redis.from_url(server.url)
    client.set("pointsman:kill", "nonsense")
    client.hset("pointsman:circuits", mapping={"small": "[1]", "large": "{"})
    client.hset("pointsman:60:12:7", mapping={"p|x": "many", "y": "1"})
    store = RedisStore(server.url, timeout_s=2.0)
    with pytest.raises(StoreError, match="not in the form of this release"):
        store.read_kill()
    shared = store.exchange("me", {}, {}, {"60:12": [7]})
    assert shared.circuits == {}
    assert shared.sums["60:12"][7]["p"] == {"x": 0.0}


def test_a_bad_url_is_named() -> None:
    with pytest.raises(StoreError, match="redis url"):
        RedisStore("http://user:secret@host")
