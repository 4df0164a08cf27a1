"""The sidecar as an ASGI application: FastAPI's endpoints behind the gate, errors in one form, an OpenAPI document."""

import importlib.metadata
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from pointsman.errors import PointsmanError
from pointsman.router import Router
from pointsman.serve.admin import admin_endpoints
from pointsman.serve.errors import ProblemError, fault_of, problem
from pointsman.serve.gate import Gate
from pointsman.serve.limits import BusyError
from pointsman.serve.metrics import CONTENT_TYPE
from pointsman.serve.models import (
    BatchAnswer,
    BatchRequest,
    DecisionForm,
    NextAnswer,
    NextRequest,
    Problem,
    ReportRequest,
    RouteRequest,
)
from pointsman.serve.settings import ServeSettings
from pointsman.serve.sidecar import Sidecar

__all__ = ["make_app"]

RETRY_AFTER_S = 1
ABOUT = """Where should this request go? Ask `/route`, do as the decision says, tell `/report` what came of it; when the
model fails, ask `/next`. Anything but a 200 from `/route` means: go to the safe model."""
FAULTS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "Not JSON"},
    408: {"model": Problem, "description": "The body did not arrive in time"},
    413: {"model": Problem, "description": "Body or batch too long"},
    415: {"model": Problem, "description": "Not application/json"},
    422: {"model": Problem, "description": "Breaks the form"},
    500: {"model": Problem, "description": "Internal error: go to the safe model"},
    503: {"model": Problem, "description": "Too many decisions at once: go to the safe model, or come again"},
}


def make_app(router: Router, settings: ServeSettings | None = None, candidates: Iterable[str] = ()) -> FastAPI:
    """Return the application that serves a router.

    The router stays the caller's to close. ``app.state.sidecar`` is the `Sidecar` behind the endpoints.

    Parameters
    ----------
    router : Router
    settings : ServeSettings, optional
    candidates : iterable of str
        Models of canary and shadow bundles, beyond the policy's own.
    """
    sidecar = Sidecar(router, settings or ServeSettings(), candidates)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        sidecar.close()

    app = FastAPI(
        title="pointsman",
        description=ABOUT,
        version=release(),
        lifespan=lifespan,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.sidecar = sidecar
    app.add_middleware(Gate, sidecar=sidecar)
    _answer_errors(app, sidecar)
    _add_decisions(app, sidecar)
    _add_views(app, sidecar)
    app.include_router(admin_endpoints(sidecar))
    return app


def release() -> str:
    """Return pointsman's version; 0 where it runs from a source tree."""
    try:
        return importlib.metadata.version("pointsman")
    except importlib.metadata.PackageNotFoundError:
        return "0"


def _add_decisions(app: FastAPI, sidecar: Sidecar) -> None:
    @app.post("/route", response_model=DecisionForm, responses=FAULTS, tags=["decisions"], summary="Route one request")
    async def route(body: RouteRequest, request: Request) -> Response:
        request_id = body.request_id or request.scope["request_id"]
        return _json((await sidecar.decide("/route", [body], [request_id]))[0].to_dict())

    @app.post("/route_batch", response_model=BatchAnswer, responses=FAULTS, tags=["decisions"], summary="Route several")
    async def route_batch(body: BatchRequest, request: Request) -> Response:
        most, count = sidecar.settings.batch_limit, len(body.requests)
        if count > most:
            raise ProblemError(413, f"{count} requests in one batch; at most {most} are allowed")
        base = request.scope["request_id"]
        ids = [one.request_id or f"{base}.{at}" for at, one in enumerate(body.requests)]
        if len(set(ids)) < count:
            raise ProblemError(422, "a request_id is given twice in one batch")
        decisions = await sidecar.decide("/route_batch", body.requests, ids) if count else []
        return _json({"decisions": [one.to_dict() for one in decisions]})

    @app.post("/report", status_code=204, responses=FAULTS, tags=["decisions"], summary="Tell what came of a decision")
    async def report(body: ReportRequest) -> Response:
        await sidecar.report(body)
        return Response(status_code=204)

    @app.post(
        "/next", response_model=NextAnswer, responses=FAULTS, tags=["decisions"], summary="What to try after a failure"
    )
    async def following(body: NextRequest) -> Response:
        then = await sidecar.next(body)
        return _json({"decision": None if then is None else then.to_dict()})


def _add_views(app: FastAPI, sidecar: Sidecar) -> None:
    @app.get("/healthz", tags=["views"], summary="200 while the process serves")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["views"], responses={503: FAULTS[503]}, summary="503 when it is about to stop")
    async def readyz() -> Response:
        if sidecar.draining:
            return problem(503, "shutting down")
        return _json({"status": "ready", "version": sidecar.router.version})

    @app.get("/metrics", tags=["views"], summary="Metrics in Prometheus' text format")
    async def metrics() -> Response:
        return Response(await sidecar.measure(), media_type=CONTENT_TYPE)

    @app.get("/policy", tags=["views"], summary="The policy that is served, as policy.json has it")
    async def policy() -> Response:
        return Response(sidecar.router.policy.to_json(), media_type="application/json")

    @app.get("/version", tags=["views"], summary="Release, bundles held, kill-switch and guards")
    async def version() -> Response:
        return _json({"release": release(), **await sidecar.status()})


def _answer_errors(app: FastAPI, sidecar: Sidecar) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return problem(*fault_of(error.errors()))

    @app.exception_handler(ProblemError)
    async def told(_: Request, error: ProblemError) -> Response:
        return problem(error.status, error.text, headers=error.headers)

    @app.exception_handler(BusyError)
    async def busy(_: Request, error: BusyError) -> Response:
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        return problem(503, str(error), safe_model=sidecar.safe_model, headers=headers)

    @app.exception_handler(PointsmanError)
    async def refused(_: Request, error: PointsmanError) -> Response:
        return problem(422, str(error))

    @app.exception_handler(HTTPException)
    async def plain(_: Request, error: HTTPException) -> Response:
        texts = {
            400: "the body is not JSON",
            404: "no such endpoint; GET /openapi.json lists them",
            405: "the endpoint does not answer to this method; GET /openapi.json lists them",
        }
        return problem(error.status_code, texts.get(error.status_code, str(error.detail)), headers=error.headers)


def _json(content: Any) -> Response:
    # ASCII: a prompt's half a surrogate pair in an id or a reason must not break the answer.
    return Response(json.dumps(content, allow_nan=False), media_type="application/json")
