"""``python -m pointsman.gateways.envoy``: serves a bundle as Envoy's external processor until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.errors import PointsmanError
from pointsman.gateways.envoy.settings import ProcessorSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.router import Router

__all__ = ["main", "serve"]

logger = logging.getLogger("pointsman.envoy")

GRACE_S = 10.0
"""How long requests under way may take to end once the server is told to stop, s."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server; return the exit code."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    parser = argparse.ArgumentParser(
        prog="python -m pointsman.gateways.envoy",
        description="Serve a bundle as Envoy's external processor (gRPC ext_proc). SIGHUP loads the bundle anew.",
    )
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--listen", default="127.0.0.1:9002", help="HOST:PORT or unix:PATH (default 127.0.0.1:9002)")
    parser.add_argument("--model", action="append", default=[], help="route only requests for this model (repeatable)")
    parser.add_argument("--rewrite-model", action="store_true", help="name the chosen model in the body too")
    parser.add_argument("--timeouts", action="store_true", help="give Envoy the candidates' timeouts")
    parser.add_argument("--max-body-mib", type=float, default=4.0, help="longer bodies go to the safe model (4)")
    parser.add_argument("--decide-ms", type=float, default=150.0, help="slower decisions are not waited for (150)")
    parser.add_argument("--kill-file", type=Path, help="while this file exists, everything goes to the safe model")
    parser.add_argument("--log", type=Path, help="decision log, JSON lines, without prompts")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = replace(
            ProcessorSettings(),
            models=tuple(args.model),
            rewrite_model=args.rewrite_model,
            timeouts=args.timeouts,
            max_body_bytes=int(args.max_body_mib * 1024 * 1024),
            decide_ms=args.decide_ms,
        )
        from pointsman.decision_log import DecisionLog
        from pointsman.guards.ledger import Ledger
        from pointsman.kill_switch import KillSwitch
        from pointsman.router import Router

        ledger = Ledger()
        kill_switch = KillSwitch(args.kill_file, ledger=ledger)
        log = None if args.log is None else DecisionLog(args.log)
        router = Router.load(args.bundle, ledger=ledger, kill_switch=kill_switch, log=log)
        try:
            asyncio.run(serve(router, settings, args.listen, args.bundle))
        finally:
            router.close()
    except PointsmanError as error:
        sys.stderr.write(f"pointsman: {' '.join(str(error).split())}\n")
        return error.exit_code
    return 0


async def serve(router: Router, settings: ProcessorSettings, address: str, bundle: Path | None = None) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP loads `bundle` anew. Requests under way are finished first."""
    from pointsman.gateways.envoy.processor import ExternalProcessor, start

    processor, loop, stop = ExternalProcessor(router, settings), asyncio.get_running_loop(), asyncio.Event()

    def reload() -> None:
        if bundle is None:
            return
        try:
            logger.info("bundle %s, version %s", bundle, router.reload(bundle))
        except PointsmanError as error:
            logger.warning("the bundle stays as it was: %s", error)

    for name in ("SIGTERM", "SIGINT"):
        loop.add_signal_handler(getattr(signal, name), stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, reload))
    server, port = await start(processor, address)
    logger.info("external processor on %s (port %d), version %s", address, port, router.version)
    try:
        await stop.wait()
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await server.stop(GRACE_S)
        await processor.settle()


if __name__ == "__main__":
    sys.exit(main())
