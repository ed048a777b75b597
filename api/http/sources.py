"""What is served at which path: where the objects of each resource come from, and which subresources they have."""

from api.kinds import EVENT, JOB, REGISTRY, RUNTIME, Kind
from api.objects import projections
from api.objects.host_objects import Nodes, Services
from api.objects.new_events import NewEvents
from api.objects.projections import Pods, Source, Stored
from api.objects.run_events import Events
from api.objects.verbs import Verbs
from api.ports import HostReport

_PAGES = {JOB.name: ("artifacts",), REGISTRY.name: ("catalogue",), RUNTIME.name: ("log",)}


def subresources(source: Source) -> tuple[str, ...]:
    """Return the subresources that the objects of a source have."""
    if isinstance(source, Pods):
        return ("attach", "exec", "files", "log", "portforward", "status")
    if not isinstance(source, Stored):
        return ()
    explained = ("explain",) if source.kind.is_explained else ()
    return (("status",) if source.kind.has_status else ()) + explained + _PAGES.get(source.kind.name, ())


def sources_of(
    verbs: Verbs, pods: Pods, manifests: projections.Manifests, host: HostReport, kinds: tuple[Kind, ...]
) -> dict[tuple[str, str, str], Source]:
    """Return all sources by group, version and plural."""
    shown: list[Source] = [pods, manifests, NewEvents(verbs)]
    nodes = Nodes(verbs, host.node)
    nodes.keep()
    shown += [nodes, Services(verbs)]
    sources: list[Source] = [*(Events(verbs) if kind is EVENT else Stored(verbs, kind) for kind in kinds), *shown]
    return {(source.kind.group, source.kind.version, source.kind.plural): source for source in sources}
