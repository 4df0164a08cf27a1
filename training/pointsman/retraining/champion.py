"""Which bundle serves: a link or a registry's alias, moved in one step; the one before is kept."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pointsman.bundle import load_bundle
from pointsman.errors import BundleError, PointsmanError

if TYPE_CHECKING:
    from pointsman.tracking import Registry, Version

__all__ = ["LinkPointer", "Pointer", "RegistryPointer", "is_alias", "pointer_of"]

_SCHEME = "models:/"


class Pointer(Protocol):
    """Where the champion is."""

    def bundle(self) -> Path:
        """Return the champion's folder."""
        ...

    def promote(self, bundle: Path) -> str:
        """Let another bundle serve; return what happened, in words."""
        ...

    def back(self) -> str:
        """Let the one before serve again; return what happened, in words."""
        ...


@dataclass(frozen=True)
class LinkPointer:
    """A symbolic link to the bundle that serves, and one named ``NAME.previous`` to the one that did.

    A gateway loads ``Router.load(LINK)`` and follows it with ``router.reload(LINK)``.

    Attributes
    ----------
    link : Path
    """

    link: Path

    @property
    def previous(self) -> Path:
        """The link to the one before."""
        return self.link.with_name(f"{self.link.name}.previous")

    def bundle(self) -> Path:
        """Return the champion's folder; raise BundleError where the link leads nowhere."""
        try:
            return self.link.resolve(strict=True)
        except OSError as error:
            raise BundleError(f"{self.link}: no champion there; `pointsman promote` makes one") from error

    def promote(self, bundle: Path) -> str:
        """Keep the present champion as previous, then move the link: cut off in between, the champion stays.

        Raises
        ------
        BundleError
            Where `bundle` is none, or a folder stands in the link's place.
        """
        fresh = load_bundle(bundle).path
        if self.link.exists() and not self.link.is_symlink():
            raise BundleError(f"{self.link}: a folder, no link; name a new link, and let the gateway load that")
        present = self.link.resolve() if self.link.exists() else None
        if present == fresh:
            return f"{fresh.name} is champion already"
        if present is not None:
            _link(self.previous, present)
        _link(self.link, fresh)
        return f"{fresh.name} is champion" + (f", {present.name} is kept as previous" if present else "")

    def back(self) -> str:
        """Swap champion and previous.

        Raises
        ------
        BundleError
            Where there is no other one, or it does not load.
        """
        present = self.bundle()
        if not self.previous.exists() or self.previous.resolve() == present:
            raise BundleError(f"{self.link}: there is no previous champion to go back to")
        former = load_bundle(self.previous).path
        _link(self.link, former)
        _link(self.previous, present)
        return f"{former.name} is champion again, {present.name} is kept as previous"


@dataclass(frozen=True)
class RegistryPointer:
    """An alias of MLflow's registry.

    Attributes
    ----------
    registry : Registry
    folder : Path
        Where bundles are fetched to.
    """

    registry: Registry
    folder: Path

    def bundle(self) -> Path:
        """Fetch the champion; raise BundleError where there is none."""
        version = self.registry.champion()
        if version is None:
            raise BundleError(f"model {self.registry.name!r} has no champion; `pointsman promote` makes one")
        return self.registry.download(version, self.folder / f"{self.registry.name}-{version.number}")

    def promote(self, bundle: Path) -> str:
        """Register the bundle where it is not yet, and move the alias."""
        from pointsman.tracking import CHALLENGER

        sha = str(load_bundle(bundle).manifest["sha256"])
        known = [one for one in self._versions() if one.tags.get("bundle_sha256") == sha]
        version = known[0] if known else self.registry.register_bundle(bundle, CHALLENGER)
        now, former = self.registry.promote(version.number)
        kept = "" if former is None or former.number == now.number else f", version {former.number} is kept as previous"
        return f"version {now.number} of {now.name} is champion{kept}"

    def back(self) -> str:
        """Move the alias to the previous version."""
        now, former = self.registry.roll_back()
        return f"version {now.number} of {now.name} is champion again, version {former.number} is kept as previous"

    def _versions(self) -> list[Version]:
        with contextlib.suppress(PointsmanError):  # the model is made with its first version
            return self.registry.versions()
        return []


def is_alias(champion: str) -> bool:
    """Whether a text names a model of the registry: ``models:/NAME`` or ``models:/NAME@champion``."""
    return champion.startswith(_SCHEME)


def pointer_of(champion: str, folder: Path, tracking_uri: str | None = None) -> Pointer:
    """Return the pointer that a text stands for; a registry's bundles are fetched to `folder`.

    Raises
    ------
    BundleError
        Where an alias other than champion is named.
    """
    if not is_alias(champion):
        return LinkPointer(Path(champion))
    from pointsman.tracking import CHAMPION, Registry, Store

    name, _, alias = champion.removeprefix(_SCHEME).partition("@")
    if not name or alias not in {"", CHAMPION}:
        raise BundleError(f"champion {champion!r}: allowed are a bundle's folder, a link, or models:/NAME@{CHAMPION}")
    return RegistryPointer(Registry(Store(tracking_uri), name), folder)


def _link(link: Path, target: Path) -> None:
    """Let a link lead to a folder, in one step."""
    link.parent.mkdir(parents=True, exist_ok=True)
    partial = link.with_name(f".{link.name}.{secrets.token_hex(6)}.tmp")
    try:
        partial.symlink_to(os.path.relpath(target, link.parent.resolve()), target_is_directory=True)
        partial.replace(link)
    except OSError as error:
        raise BundleError(f"{link}: the link cannot be moved: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
