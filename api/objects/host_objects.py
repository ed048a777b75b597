"""What a host has, seen as Kubernetes' objects: the one Node, and the Services, of which there are none.

Neither is stored. Clients look for both: kubectl's cluster-info asks for services, and ends with an error if
nobody knows the word; dashboards draw nodes first.
"""

from collections.abc import Callable, Iterable

from api.kinds import NODE, SERVICE, Kind
from api.meta import Document
from api.objects.projections import Shown
from api.objects.verbs import Verbs

NOBODY_FOLLOWS = ""
"""What a source follows that can be watched, and whose changes are in no store: a watch shows what is there."""


class HostObjects(Shown):
    """Objects of one kind that the host has, as it says each time."""

    followed: str | None = NOBODY_FOLLOWS

    def __init__(self, verbs: Verbs, kind: Kind, look: Callable[[], Iterable[Document]]) -> None:
        """Show what `look` returns: metadata, spec and status of each."""
        self._verbs = verbs
        self.kind = kind
        self._look = look

    def all_of(self, namespace: str | None, at_revision: int | None = None) -> tuple[Iterable[Document], int]:
        """Return what the host has now."""
        revision = self._verbs.revision()
        return (self._shown(item, revision) for item in self._look()), revision

    def _shown(self, item: Document, revision: int) -> Document:
        metadata = item["metadata"] | {"resourceVersion": str(revision)}
        return item | {"apiVersion": self.kind.api_version, "kind": self.kind.name, "metadata": metadata}


def nodes(verbs: Verbs, look: Callable[[], Document]) -> HostObjects:
    """Return the source of the one Node, which `look` describes."""
    return HostObjects(verbs, NODE, lambda: (look(),))


def services(verbs: Verbs) -> HostObjects:
    """Return the source of Services."""
    return HostObjects(verbs, SERVICE, tuple)
