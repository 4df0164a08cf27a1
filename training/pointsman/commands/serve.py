"""``pointsman serve``: a bundle behind HTTP, for gateways in any language. Needs the extra ``serve`` only."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pointsman.router import Router

NAME = "serve"
HELP = "Serve a bundle over HTTP (a sidecar): decisions, reports, metrics, kill-switch; stops gracefully at SIGTERM."
EXAMPLE = (
    "pointsman serve --bundle exported/bundles/week --log decisions.jsonl\n"
    "  curl -s localhost:8700/route -H 'Content-Type: application/json' -d '{\"text\": \"What is 2 + 2?\"}'"
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default 127.0.0.1: this machine only)")
    parser.add_argument("--port", type=int, default=8700, help="default 8700; 0 for any that is free")
    parser.add_argument(
        "--token-file", type=Path, help="opens /kill, /restore, /reload, /rollback; so does POINTSMAN_TOKEN"
    )
    parser.add_argument("--log", type=Path, help="decision log (JSON lines), which ingest reads back")
    parser.add_argument("--log-prompts", action="store_true", help="with the prompts: needed to train from the log")
    parser.add_argument("--kill-file", type=Path, help="while it exists, everything goes to the safe model")
    parser.add_argument("--redis", metavar="URL", help="guards and kill-switch shared with other processes")
    parser.add_argument(
        "--require-signature", type=Path, metavar="PUBLIC_KEY", help="refuse bundles that its owner did not sign"
    )
    parser.add_argument("--canary", metavar="PATH:SHARE", help="serve a share (0..1) of the requests by another bundle")
    parser.add_argument("--shadow", metavar="PATH:SHARE", help="ask another bundle about a share, and only log it")
    parser.add_argument("--threads", type=int, default=1, help="of the classifier, for one decision (default 1)")
    parser.add_argument("--workers", type=int, default=4, help="decisions computed at once (default 4)")
    parser.add_argument("--max-waiting", type=int, default=256, help="decisions under way or waiting (default 256)")
    parser.add_argument("--max-batch", type=int, default=128, help="requests in one batch (default 128)")
    parser.add_argument("--max-body-bytes", type=int, default=1 << 20, help="default 1048576")
    parser.add_argument("--max-connections", type=int, default=1000, help="default 1000")
    parser.add_argument("--drain", type=float, default=2.0, help="seconds from SIGTERM in which it still serves (2)")
    parser.add_argument("--grace", type=float, default=30.0, help="seconds that requests then have to finish (30)")


def run(args: Namespace) -> int:
    """Serve until a signal comes."""
    from pointsman.errors import MissingExtraError, PointsmanError

    try:
        from pointsman.serve.server import serve
        from pointsman.serve.settings import ServeSettings, read_token
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in {"", "pointsman"}:
            raise
        raise MissingExtraError(missing, "serve") from error
    if args.threads < 1:
        raise PointsmanError(f"serve: threads is {args.threads}; at least 1 is needed")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    settings = ServeSettings(
        host=args.host,
        port=args.port,
        token=read_token(args.token_file),
        workers=args.workers,
        max_waiting=args.max_waiting,
        max_batch=args.max_batch,
        max_body_bytes=args.max_body_bytes,
        max_connections=args.max_connections,
        drain_s=args.drain,
        grace_s=args.grace,
        bundle=str(args.bundle.absolute()),
    )
    trials = {role: _trial(getattr(args, role), role) for role in ("canary", "shadow") if getattr(args, role)}
    router = _router(args)
    candidates: list[str] = []
    for role, (path, share) in trials.items():
        candidates += _trying(router, role, path, share)
    serve(router, settings, candidates)
    return 0


def _router(args: Namespace) -> Router:
    """Return the router that the options describe."""
    from pointsman.decision_log import DecisionLog
    from pointsman.guards.ledger import Ledger
    from pointsman.kill_switch import KillSwitch
    from pointsman.router import Router

    store = None
    if args.redis:
        from pointsman.guards.redis_store import RedisStore

        store = RedisStore(args.redis)
    ledger = Ledger(store)
    log = None if args.log is None else DecisionLog(args.log, prompts=args.log_prompts)
    switch = KillSwitch(args.kill_file, ledger=ledger)
    return Router.load(
        args.bundle,
        threads=args.threads,
        ledger=ledger,
        kill_switch=switch,
        log=log,
        require_signature=args.require_signature,
    )


def _trial(text: str, role: str) -> tuple[Path, float]:
    """Return the folder and the share of a trial."""
    from pointsman.errors import PointsmanError

    path, _, share = text.rpartition(":")
    try:
        number = float(share)
    except ValueError:
        number = -1.0
    if not path or not 0 <= number <= 1:
        raise PointsmanError(f"serve: --{role} is {text!r}; PATH:SHARE is needed, the share from 0 to 1")
    return Path(path), number


def _trying(router: Router, role: str, path: Path, share: float) -> tuple[str, ...]:
    """Put a bundle on trial and return its candidates."""
    from pointsman.bundle import load_bundle

    (router.canary if role == "canary" else router.shadow)(path, share)
    return load_bundle(path).policy.models
