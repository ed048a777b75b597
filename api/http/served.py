"""What is served, in one form for discovery and OpenAPI: resources, their verbs and what lies below them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from api.http.sources import subresources
from api.kinds import NAMESPACE, Kind
from api.objects.host_objects import Nodes
from api.objects.new_events import NewEvents
from api.objects.projections import Pods, Source, Stored

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_SUBRESOURCE_VERBS = {"status": ("get", "patch", "update")}
_STREAM = ("create", "get")
_POD_VERBS = {"attach": _STREAM, "exec": _STREAM, "files": ("get", "update"), "portforward": _STREAM}


@dataclass(frozen=True, slots=True)
class Served:
    """One resource, what may be done with it, and its subresources with theirs."""

    kind: Kind
    verbs: tuple[str, ...]
    subresources: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def group(self) -> str:
        """The API group; empty is the core group."""
        return self.kind.group

    @property
    def version(self) -> str:
        """The version in the group."""
        return self.kind.version


def served(sources: Iterable[Source], more: Iterable[Served] = ()) -> tuple[Served, ...]:
    """Return the resources that `sources` are, and `more`."""
    return (*(_of(source) for source in sources), *more)


def group_path(group: str, version: str) -> str:
    """Return the path of a group and version, without slashes at its ends."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _of(source: Source) -> Served:
    below = tuple((name, _subresource_verbs(source, name)) for name in subresources(source))
    return Served(source.kind, _verbs(source), below)


def _verbs(source: Source) -> tuple[str, ...]:
    if source.kind is NAMESPACE:
        return tuple(verb for verb in ALL_VERBS if verb != "deletecollection")
    if isinstance(source, Stored | NewEvents):
        return ALL_VERBS
    if isinstance(source, Pods):
        return ("delete", "deletecollection", "get", "list", "watch")
    if isinstance(source, Nodes):
        return ("get", "list", "patch", "update", "watch")
    return ("get", "list", "watch") if source.followed is not None else ("get", "list")


def _subresource_verbs(source: Source, name: str) -> tuple[str, ...]:
    known = _SUBRESOURCE_VERBS if isinstance(source, Stored) else _POD_VERBS if isinstance(source, Pods) else {}
    return known.get(name, ("get",))
