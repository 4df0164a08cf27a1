"""The MLflow store: which one, whether it can be reached, and what goes wrong there told in one line."""

from __future__ import annotations

import logging
import os
import sqlite3
import warnings
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import mlflow
import requests
import sqlalchemy
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from pointsman.errors import PointsmanError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DEFAULT_EXPERIMENT", "DEFAULT_STORE", "Store", "TrackingError"]

DEFAULT_STORE = "sqlite:///mlflow.db"
DEFAULT_EXPERIMENT = "pointsman"

PATIENCE_S = 10
"""How long a server may take to answer at all, s; once it has, MLflow's own retries hold."""

_SQLITE = "sqlite:///"
_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""MLflow's page opens with runs and models; without it, with those of chat applications."""
_BARS = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"


class TrackingError(PointsmanError):
    """The MLflow store cannot be used, or does not hold what was asked for."""


class Store:
    """A place where runs and models are kept; made without a look at it, checked by `open`.

    Parameters
    ----------
    uri : str, optional
        Tracking URI; None for ``MLFLOW_TRACKING_URI``, else ``sqlite:///mlflow.db`` in the working folder. What else a
        server wants (user, token, certificates, a registry elsewhere) is told by MLflow's own variables.
    create : bool
        Whether a database file that does not exist may be made.

    Attributes
    ----------
    uri : str
    client : mlflow.MlflowClient
    """

    def __init__(self, uri: str | None = None, *, create: bool = True) -> None:
        self._create = create
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE
        self._client: Any = None

    @property
    def shown(self) -> str:
        """The URI without a password."""
        return without_password(self.uri)

    @property
    def remote(self) -> bool:
        """Whether a server stands between us and the store."""
        return urlsplit(self.uri).scheme in {"http", "https"}

    @property
    def client(self) -> Any:
        """The client, once the store was found to answer.

        Raises
        ------
        TrackingError
            Where it does not.
        """
        if self._client is None:
            with self.telling():
                self._refuse_unusable()
                client = mlflow.MlflowClient(self.uri)
                client.search_experiments(max_results=1)
            self._client = client
        return self._client

    @contextmanager
    def telling(self, doing: str = "") -> Iterator[None]:
        """Keep MLflow's notices off the terminal; what goes wrong becomes one line with the store's name."""
        bars = os.environ.get(_BARS)
        os.environ[_BARS] = bars or "false"
        levels = {name: logging.getLogger(name).level for name in ("mlflow", "alembic")}
        for name in levels:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except (MlflowException, sqlalchemy.exc.SQLAlchemyError, requests.RequestException, sqlite3.Error) as error:
            raise TrackingError(f"tracking store {self.shown}: {f'{doing}: ' * bool(doing)}{reason(error)}") from error
        finally:
            if bars is None:
                del os.environ[_BARS]
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)

    def experiment_id(self, name: str, *, create: bool = False) -> str:
        """Return the id of an experiment; with `create` it is made where it does not exist.

        Raises
        ------
        TrackingError
            Where there is none.
        """
        client = self.client
        with self.telling(f"experiment {name!r}"):
            found = client.get_experiment_by_name(name)
            if found is None and create:
                return str(client.create_experiment(name, artifact_location=self._artifacts(), tags=_KIND))
            if found is None:
                known = ", ".join(sorted(one.name for one in client.search_experiments())) or "none"
                raise TrackingError(f"tracking store {self.shown}: no experiment {name!r}; there are: {known[:300]}")
            if found.lifecycle_stage != "active":
                raise TrackingError(
                    f"tracking store {self.shown}: experiment {name!r} is deleted; restore it (mlflow experiments "
                    f"restore -x {found.experiment_id}) or name another"
                )
            return str(found.experiment_id)

    def aliases(self) -> dict[str, list[str]]:
        """Return by run id what registered models call its bundle, their own name before it where they are several."""
        client = self.client
        with self.telling("read the registry"):
            models = [one for one in client.search_registered_models(max_results=100) if one.aliases]
            found: dict[str, list[str]] = {}
            for model in models:
                for alias, number in sorted(model.aliases.items()):
                    run_id = client.get_model_version(model.name, number).run_id
                    found.setdefault(run_id, []).append(alias if len(models) == 1 else f"{model.name} {alias}")
            return found

    def _artifacts(self) -> str | None:
        """Return where artifacts of a new experiment go: a server decides, a database file has them beside it."""
        if self.remote:
            return None
        root = os.environ.get("MLFLOW_DEFAULT_ARTIFACT_ROOT")
        if root:
            return root
        folder = Path(self.uri.removeprefix(_SQLITE)).resolve().parent if self.uri.startswith(_SQLITE) else Path.cwd()
        return (folder / "mlartifacts").as_uri()

    def _refuse_unusable(self) -> None:
        """Find out at once, not after MLflow's minutes of retries, that a server is away or a file is no database."""
        if self.remote:
            credentials = get_default_host_creds(self.uri)  # type: ignore[no-untyped-call]
            http_request(  # type: ignore[no-untyped-call]
                credentials, "/health", "GET", max_retries=0, timeout=PATIENCE_S, raise_on_status=False
            )
        elif self.uri.startswith(_SQLITE):
            file = Path(self.uri.removeprefix(_SQLITE))
            if file.is_dir():
                raise TrackingError(f"tracking store {self.shown}: is a folder; a database file is needed")
            if file.is_file():
                with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as database:
                    database.execute("SELECT name FROM sqlite_master").fetchall()
            elif not self._create:
                raise TrackingError(
                    f"tracking store {self.shown}: no such file; fit first, or name a store by --tracking-uri or "
                    "MLFLOW_TRACKING_URI"
                )
        elif not urlsplit(self.uri).scheme:
            raise TrackingError(
                f"tracking store {self.shown!r}: not a URI; allowed: sqlite:///PATH, postgresql+psycopg://…, http(s)://…"
            )


def without_password(uri: str) -> str:
    """Return a URI with its password, if it has one, as ``***``."""
    try:
        parts = urlsplit(uri)
        return uri if parts.password is None else uri.replace(f":{parts.password}@", ":***@", 1)
    except ValueError:
        return uri.partition("://")[0] + "://…"


def reason(error: BaseException) -> str:
    """Return the innermost cause of an error in one line."""
    causes: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(causes) < 8:
        text = str(getattr(seen, "orig", None) or seen)
        if isinstance(seen, requests.ConnectionError | requests.Timeout) or "Max retries exceeded" in text:
            return "cannot be reached; is the server running, and the address right?"
        causes.append(" ".join(text.split()))
        seen = seen.__cause__ or seen.__context__
    return without_password(causes[0])[:300]
