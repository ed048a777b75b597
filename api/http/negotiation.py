"""What a client wants back: plain JSON, a Table, or metadata only. Pure.

Source: Kubernetes API concepts, "Alternate representations of resources".
"""

from dataclasses import dataclass
from enum import Enum, auto

from api.errors import NotAcceptable

JSON = "application/json"
_ANY = (JSON, "application/*", "*/*")
_GROUP = "meta.k8s.io"
_DISCOVERY_GROUP = "apidiscovery.k8s.io"
_DISCOVERY_VERSIONS = ("v2", "v2beta1")


class View(Enum):
    """How objects are shown."""

    PLAIN = auto()
    TABLE = auto()
    METADATA = auto()


@dataclass(frozen=True, slots=True)
class _Range:
    type: str
    parameters: dict[str, str]


def view_of(accept: str | None) -> View:
    """Return the first representation of an Accept header that can be made.

    Raises:
        NotAcceptable: there is none.
    """
    if not accept or not accept.strip():
        return View.PLAIN
    for each in accept.split(","):
        view = _view(_parse(each))
        if view is not None:
            return view
    raise NotAcceptable(f"only the following media types are accepted: {JSON}, {JSON};as=Table;v=v1;g={_GROUP}")


def aggregation_of(accept: str | None) -> str | None:
    """Return the version of aggregated discovery that an Accept header prefers; None is the plain form.

    Unlike for objects, everything unknown gets the plain form, for every client reads it.

    >>> aggregation_of("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")
    'v2'
    """
    for each in (accept or "").split(","):
        wanted = _parse(each)
        if wanted.type not in _ANY:
            continue
        asked = wanted.parameters
        if "as" not in asked:
            return None
        form = asked["as"], asked.get("g")
        if form == ("APIGroupDiscoveryList", _DISCOVERY_GROUP) and asked.get("v") in _DISCOVERY_VERSIONS:
            return asked["v"]
    return None


def aggregated_type(version: str) -> str:
    """Return the Content-Type of aggregated discovery, character for character as clients compare it."""
    return f"{JSON};g={_DISCOVERY_GROUP};v={version};as=APIGroupDiscoveryList"


def _parse(text: str) -> _Range:
    type_, *parameters = (part.strip() for part in text.split(";"))
    pairs = (parameter.partition("=") for parameter in parameters)
    return _Range(type_.lower(), {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs})


def _view(wanted: _Range) -> View | None:
    if wanted.type not in _ANY or wanted.parameters.get("q") in ("0", "0.0"):
        return None
    if wanted.parameters.get("stream", "watch") != "watch":
        return None
    if "as" not in wanted.parameters:
        return View.PLAIN
    if (wanted.parameters.get("g"), wanted.parameters.get("v")) != (_GROUP, "v1"):
        return None
    match wanted.parameters["as"]:
        case "Table":
            return View.TABLE
        case "PartialObjectMetadata" | "PartialObjectMetadataList":
            return View.METADATA
        case _:
            return None
