"""The endpoints that change what is served: kill, restore, reload, rollback; behind a bearer token."""

import hmac
import logging
from hashlib import sha256
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.security import HTTPBearer

from pointsman.errors import PointsmanError
from pointsman.serve.errors import ProblemError
from pointsman.serve.models import AdminRequest, Problem, ReloadRequest
from pointsman.serve.settings import TOKEN_VARIABLE
from pointsman.serve.sidecar import Sidecar

__all__ = ["admin_endpoints"]

logger = logging.getLogger("pointsman.serve")


def admin_endpoints(sidecar: Sidecar) -> APIRouter:
    """Return the admin endpoints of a sidecar."""
    token = sidecar.settings.token
    wanted = None if token is None else sha256(token.encode()).digest()

    async def authorised(request: Request) -> None:
        if wanted is None:
            raise ProblemError(
                403, f"admin endpoints are closed: start the sidecar with {TOKEN_VARIABLE} or --token-file to open them"
            )
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # Of hashes: the time that it takes tells neither the token nor its length.
        right = hmac.compare_digest(sha256(given.strip().encode()).digest(), wanted)
        if scheme.lower() != "bearer" or not right:
            logger.warning("%s refused: wrong or no token, request %s", request.url.path, request.scope["request_id"])
            raise ProblemError(401, "the header Authorization: Bearer TOKEN is needed", {"WWW-Authenticate": "Bearer"})

    told: dict[int | str, dict[str, Any]] = {
        code: {"model": Problem, "description": words}
        for code, words in {
            400: "Not JSON",
            401: "No token, or a wrong one",
            403: "No token is configured",
            409: "Not possible now",
            413: "Body too long",
            415: "Not application/json",
            422: "Breaks the form, or the bundle is not to be used",
            503: "Too much at once",
        }.items()
    }
    # HTTPBearer is for the OpenAPI document alone.
    checks = [
        Depends(authorised),
        Depends(HTTPBearer(auto_error=False, description=f"{TOKEN_VARIABLE} or --token-file")),
    ]
    endpoints = APIRouter(tags=["admin"], dependencies=checks, responses=told)

    @endpoints.post("/kill", summary="Send everything to the safe model, from the next decision on")
    async def kill(body: AdminRequest | None = None) -> dict[str, Any]:
        body = body or AdminRequest()
        return await sidecar.kill(_line(body.who), _line(body.why))

    @endpoints.post("/restore", summary="Take /kill back; tells what, if anything, keeps the switch on")
    async def restore(body: AdminRequest | None = None) -> dict[str, Any]:
        return await sidecar.restore(_line((body or AdminRequest()).who))

    @endpoints.post("/reload", summary="Serve another bundle; the old one is kept for /rollback")
    async def reload(body: ReloadRequest | None = None) -> dict[str, Any]:
        path = (body or ReloadRequest(path=None)).path or sidecar.settings.bundle
        if path is None:
            raise ProblemError(422, "path is missing, and the sidecar was started without one")
        if "\0" in path:
            raise ProblemError(422, "path: no path has a NUL character in it")
        return await sidecar.reload(path)

    @endpoints.post("/rollback", summary="Serve the bundle before the last /reload again")
    async def rollback() -> dict[str, Any]:
        try:
            return await sidecar.rollback()
        except PointsmanError as error:
            raise ProblemError(409, str(error)) from error

    return endpoints


def _line(text: str) -> str:
    return " ".join(text.split())
