"""What every configuration of a router says, whoever's format it is in: models, routes, fallbacks, guards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pointsman.audit.finding import Place
from pointsman.faults import line

if TYPE_CHECKING:
    from pointsman.yaml_lines import Key, Lines

__all__ = ["Configuration", "Model", "Route", "Way"]


@dataclass(frozen=True)
class Model:
    """A model, or a group of deployments under one name; None where the configuration does not say.

    Attributes
    ----------
    name : str
    key : tuple of str
        Where it stands.
    window : int or None
        Tokens it can read.
    modalities : tuple of str or None
        text, image, audio.
    timeout_ms : float or None
        Its own, or the one that holds for all.
    price : float or None
        USD per million tokens, input and output added: good enough to tell dear from cheap.
    deployments : int
        How many serve the name.
    """

    name: str
    key: Key
    window: int | None = None
    modalities: tuple[str, ...] | None = None
    timeout_ms: float | None = None
    price: float | None = None
    deployments: int = 1


@dataclass(frozen=True)
class Route:
    """A rule that sends requests to a model.

    Attributes
    ----------
    requests : str
        Which, in words; "everything" for all.
    model : str
    key : tuple of str
    """

    requests: str
    model: str
    key: Key


@dataclass(frozen=True)
class Way:
    """Where a request goes when a model fails it.

    Attributes
    ----------
    source : str or None
        The model that failed; None for any.
    model : str
    key : tuple of str
    requests : tuple of str
        Intents, modalities, long_context; empty for all.
    failures : tuple of str
        timeout, error, context, content; empty for timeout and error.
    within_ms : float or None
        Only while the request has been under way for less.
    """

    source: str | None
    model: str
    key: Key
    requests: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    within_ms: float | None = None


@dataclass(frozen=True)
class Configuration:
    """A configuration, read leniently: what is missing or wrong in it is for the checks to say.

    Attributes
    ----------
    kind : str
        ``spec``, ``short``, ``policy`` or ``litellm``.
    file : str
    lines : mapping
        The line of each key.
    models : tuple of Model
    routes : tuple of Route
    ways : tuple of Way
    chosen_by : str
        Who chooses where no route does: ``learned`` (thresholds, a classifier), ``rules``, ``client`` (each names its
        own model) or ``nobody``.
    default, safe : Route or None
        Where a request goes that nothing else places; where everything goes under the kill-switch.
    needs_safe : bool
        Whether a configuration of this kind must name a safe model.
    ways_silent : bool
        Fallbacks are not mentioned, and the format then has its own.
    retries : int
        Of one request at one model.
    most_ways : int or None
        How many fallbacks of one request are tried at most; None for all.
    breaker : str
        ``set``, ``off``, or ``default`` where the gateway has one that is not mentioned.
    budget : bool
    free_useless : bool or None
        Useless answers cost nothing and usefulness is not constrained; None where the format has no such thing.
    long_tokens : int
        From how many tokens a request is long.
    unreachable : tuple of (tuple of str, str)
        Rules that can never apply, as the reader saw: key and sentence.
    dangling : tuple of (tuple of str, str)
        Names of models that are none: key and name.
    broken : str
        What its own schema says against it; "" for nothing.
    notes : tuple of str
    guards_key : tuple of str
        Where guards stand, or would.
    """

    kind: str
    file: str
    lines: Lines
    models: tuple[Model, ...]
    routes: tuple[Route, ...] = ()
    ways: tuple[Way, ...] = ()
    chosen_by: str = "learned"
    default: Route | None = None
    safe: Route | None = None
    needs_safe: bool = False
    ways_silent: bool = False
    retries: int = 0
    most_ways: int | None = None
    breaker: str = "off"
    budget: bool = False
    free_useless: bool | None = None
    long_tokens: int = 8000
    unreachable: tuple[tuple[Key, str], ...] = ()
    dangling: tuple[tuple[Key, str], ...] = ()
    broken: str = ""
    notes: tuple[str, ...] = ()
    guards_key: Key = field(default=("guards",))

    def place(self, key: Key) -> Place:
        """Return the place of a key: its line, or the nearest one around it."""
        return Place(self.file, line(key, self.lines) or None, ".".join(key))

    def model(self, name: str) -> Model | None:
        """Return the model of a name; None where there is none."""
        return next((one for one in self.models if one.name == name), None)

    def ways_from(self, name: str) -> tuple[Way, ...]:
        """Return the fallbacks of a model, itself left out."""
        return tuple(way for way in self.ways if way.source in {None, name} and way.model != name)
