"""The registry: versions of the routing model; which one serves (champion), which one would, which one did.

An alias is moved by one call each, in an order that leaves a champion in place wherever it is cut off.
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.exceptions import MlflowException

from pointsman.bundle import load_bundle
from pointsman.tracking.flavour import FOLDER, log_bundle
from pointsman.tracking.store import DEFAULT_EXPERIMENT, Store, TrackingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.bundle import Bundle

__all__ = ["CHALLENGER", "CHAMPION", "DEFAULT_NAME", "PREVIOUS", "Registry", "Version"]

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
DEFAULT_NAME = "pointsman"
_MODEL_ID = "model_id"
"""Tag of a version: a database store does not tell the logged model that it came from."""


@dataclass(frozen=True)
class Version:
    """One version of the registered model.

    Attributes
    ----------
    name, number : str
        Of the model; of the version, counted from 1.
    run_id : str
        The fit that made it.
    model_id : str
        Of the logged model.
    aliases : tuple of str
    created : datetime
        UTC.
    tags : dict of str to str
        ``bundle_sha256`` (of the manifest), ``verdict``, ``holds`` and what else it was registered with.
    """

    name: str
    number: str
    run_id: str
    model_id: str
    aliases: tuple[str, ...]
    created: datetime
    tags: dict[str, str]

    @property
    def uri(self) -> str:
        """What MLflow's ``load_model`` and ``models serve`` take."""
        return f"models:/{self.name}/{self.number}"


class Registry:
    """Versions of one registered model.

    Parameters
    ----------
    store : Store, optional
        Where runs and versions are kept; by default as `Store` finds it.
    name : str
        Of the registered model; made with its first version.
    """

    def __init__(self, store: Store | None = None, name: str = DEFAULT_NAME) -> None:
        self.store = store or Store()
        self.name = name

    def register(self, run_id: str, alias: str | None = None, tags: Mapping[str, str] | None = None) -> Version:
        """Make the bundle that a run logged a new version, with an alias where one is given.

        Raises
        ------
        TrackingError
            Where the run does not exist or logged no bundle.
        """
        client = self.store.client
        with self.store.telling(f"register run {run_id}"):
            outputs = client.get_run(run_id).outputs
            if outputs is None or not outputs.model_outputs:
                raise TrackingError(f"run {run_id}: logged no bundle; a finished `pointsman fit` does")
            model = client.get_logged_model(outputs.model_outputs[0].model_id)
            self._make()
            made = client.create_model_version(
                self.name,
                source=model.artifact_location,
                run_id=run_id,
                tags={**model.tags, **(tags or {}), _MODEL_ID: model.model_id},
                model_id=model.model_id,
            )
        if alias is not None:
            self.set_alias(alias, made.version)
        return self.version(made.version)

    def register_bundle(
        self, path: str | Path, alias: str | None = None, tags: Mapping[str, str] | None = None
    ) -> Version:
        """Make a bundle's folder a new version, of the run that made it or, where the store has none, of a new one.

        Raises
        ------
        BundleError
            Where it is no bundle.
        TrackingError
        """
        bundle = load_bundle(path)
        run_id = str(bundle.manifest["provenance"].get("run_id"))
        if not self._holds(run_id, bundle):
            run_id = self._log_alone(bundle)
        return self.register(run_id, alias, tags)

    def take(self, run_id: str, *, holds: bool) -> Version:
        """Register a fit's bundle: as champion where it holds and there is none yet, else as challenger."""
        alias = CHAMPION if holds and self.champion() is None else CHALLENGER
        return self.register(run_id, alias)

    def version(self, number: str) -> Version:
        """Return a version by its number.

        Raises
        ------
        TrackingError
            Where there is none.
        """
        client = self.store.client
        with self.store.telling(f"model {self.name!r} version {number}"):
            return self._version(client.get_model_version(self.name, number))

    def at(self, alias: str) -> Version | None:
        """Return the version that an alias stands for; None where it stands for none."""
        client = self.store.client
        with self.store.telling(f"model {self.name!r}"):
            try:
                found = client.get_model_version_by_alias(self.name, alias)
            except MlflowException as error:
                if _absent(error):
                    return None
                raise
            return self._version(found)

    def champion(self) -> Version | None:
        """Return the version that serves; None where there is none yet."""
        return self.at(CHAMPION)

    def versions(self) -> list[Version]:
        """Return all versions, newest first."""
        client = self.store.client
        with self.store.telling(f"model {self.name!r}"):
            found = client.search_model_versions(f"name = '{self.name}'", order_by=["version_number DESC"])
            # A search leaves the aliases out.
            return [self._version(client.get_model_version(self.name, one.version)) for one in found]

    def set_alias(self, alias: str, number: str) -> None:
        """Let an alias stand for a version, and for no other."""
        client = self.store.client
        with self.store.telling(f"alias {alias!r} of model {self.name!r}"):
            client.set_registered_model_alias(self.name, alias, number)

    def drop_alias(self, alias: str) -> None:
        """Let an alias stand for nothing."""
        client = self.store.client
        with self.store.telling(f"alias {alias!r} of model {self.name!r}"):
            client.delete_registered_model_alias(self.name, alias)

    def promote(self, number: str) -> tuple[Version, Version | None]:
        """Make a version the champion; return it and the former one, now `previous`.

        Cut off at any point, a champion is in place: the former one is kept first, then the alias moves, then the
        challenger's is dropped.
        """
        fresh, former = self.version(number), self.champion()
        if former is not None and former.number != fresh.number:
            self.set_alias(PREVIOUS, former.number)
        self.set_alias(CHAMPION, fresh.number)
        challenger = self.at(CHALLENGER)
        if challenger is not None and challenger.number == fresh.number:
            self.drop_alias(CHALLENGER)
        return self.version(number), None if former is None else self.version(former.number)

    def roll_back(self) -> tuple[Version, Version]:
        """Make the previous version the champion again; return it and the one that it replaced, now `previous`.

        Raises
        ------
        TrackingError
            Where no version has been champion before.
        """
        former, present = self.at(PREVIOUS), self.champion()
        if former is None or present is None or former.number == present.number:
            raise TrackingError(f"model {self.name!r}: there is no previous champion to go back to")
        self.set_alias(CHAMPION, former.number)
        self.set_alias(PREVIOUS, present.number)
        return self.version(former.number), self.version(present.number)

    def download(self, version: Version, folder: str | Path) -> Path:
        """Fetch a version's bundle into `folder`, verified, whole or not at all; return the folder.

        A bundle that is already there is replaced, anything else refused.

        Raises
        ------
        BundleError
            Where what came is not the bundle that was logged, or `folder` holds something else.
        TrackingError
            Where the store does not hold it.
        """
        return download_bundle(self.store, version.model_id, Path(folder))

    def _make(self) -> None:
        try:
            self.store.client.create_registered_model(
                self.name, description="Bundles of pointsman: `champion` serves, `challenger` would, `previous` did."
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _holds(self, run_id: str, bundle: Bundle) -> bool:
        """Whether the store has the run, and the run this very bundle."""
        client = self.store.client
        with self.store.telling(f"run {run_id}"):
            try:
                outputs = client.get_run(run_id).outputs
            except MlflowException as error:
                if _absent(error):
                    return False
                raise
            if outputs is None or not outputs.model_outputs:
                return False
            tags = client.get_logged_model(outputs.model_outputs[0].model_id).tags
            return bool(tags.get("bundle_sha256") == bundle.manifest["sha256"])

    def _log_alone(self, bundle: Bundle) -> str:
        """Log a bundle in a run of its own."""
        experiment = self.store.experiment_id(DEFAULT_EXPERIMENT, create=True)
        client, tags = self.store.client, bundle_tags(bundle)
        with self.store.telling(f"log bundle {bundle.path}"):
            run_id = str(
                client.create_run(experiment, run_name=bundle.name, tags={**tags, "kind": "bundle"}).info.run_id
            )
        log_bundle(self.store, bundle, experiment, run_id, {}, tags)
        with self.store.telling(f"log bundle {bundle.path}"):
            client.set_terminated(run_id)
        return run_id

    def _version(self, found: Any) -> Version:
        return Version(
            name=self.name,
            number=str(found.version),
            run_id=str(found.run_id or ""),
            model_id=str(found.tags.get(_MODEL_ID) or found.model_id or ""),
            aliases=tuple(sorted(found.aliases)),
            created=datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
            tags=dict(found.tags),
        )


def bundle_tags(bundle: Bundle) -> dict[str, str]:
    """Return what tells a bundle from others, as tags of its model."""
    evidence = bundle.policy.evidence
    certificate, shown = evidence.get("certificate") or {}, evidence.get("certified") or {}
    tags = {"bundle_sha256": str(bundle.manifest["sha256"]), "bundle_name": bundle.name}
    if "verdict" in shown:
        tags["verdict"] = str(shown["verdict"])
    if "certified" in certificate:
        tags["certified"] = str(certificate["certified"])
    return tags


def download_bundle(store: Store, model_id: str, folder: Path) -> Path:
    """Fetch the bundle of a logged model into `folder`: see `Registry.download`."""
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        load_bundle(folder)  # refuses what is no bundle
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.tmp")
    client = store.client
    try:
        with store.telling(f"fetch the bundle of model {model_id}"):
            uri = f"{client.get_logged_model(model_id).artifact_location}/{FOLDER}"
            partial.mkdir(parents=True)
            came = mlflow.artifacts.download_artifacts(uri, dst_path=str(partial), tracking_uri=store.uri)
        load_bundle(came)
        if folder.exists():
            aside = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.old")
            folder.rename(aside)
            Path(came).rename(folder)
            shutil.rmtree(aside, ignore_errors=True)
        else:
            Path(came).rename(folder)
    except OSError as error:
        raise TrackingError(f"{folder}: the bundle cannot be fetched: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _absent(error: MlflowException) -> bool:
    """Whether MLflow says that there is no such thing; a missing alias is an invalid parameter to it."""
    return error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
