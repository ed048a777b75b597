"""What a host has, seen as Kubernetes' objects: the one Node, and the Services, of which there are none.

Neither is stored. Clients look for both: kubectl's cluster-info asks for services, and ends with an error if
nobody knows the word; dashboards draw nodes first.
"""

from collections.abc import Callable, Iterable

from api.errors import NotFound
from api.kinds import NODE, SERVICE, Kind
from api.meta import Document
from api.objects import admission
from api.objects.listing import Page
from api.objects.projections import Step
from api.objects.selectors import EVERYTHING, Selector
from api.objects.verbs import Verbs
from api.ports import Change

NOBODY_FOLLOWS = ""
"""What a source follows that can be watched, and whose changes are in no store: a watch shows what is there."""


class HostObjects:
    """Objects of one kind that the host has, as it says each time."""

    followed: str | None = NOBODY_FOLLOWS

    def __init__(self, verbs: Verbs, kind: Kind, look: Callable[[], Iterable[Document]]) -> None:
        """Show what `look` returns: metadata, spec and status of each."""
        self._verbs = verbs
        self.kind = kind
        self._look = look

    def get(self, namespace: str, name: str) -> Document:
        """Return one of them. Raises NotFound."""
        for item in self._items(self._verbs.revision()):
            if item["metadata"]["name"] == name and item["metadata"].get("namespace", "") == namespace:
                return item
        raise NotFound.of(admission.about(self.kind, name))

    def list(
        self,
        namespace: str | None,
        selector: Selector = EVERYTHING,
        *,
        limit: int = 0,
        continue_: str = "",
        at_revision: int | None = None,
    ) -> Page:
        """Return all of them in one page."""
        revision = self._verbs.revision()
        items = tuple(item for item in self._items(revision) if selector.matches(item))
        return Page(items, revision)

    def steps(self, change: Change) -> Iterable[Step]:
        """Return nothing: no change of the store is theirs."""
        return ()

    def _items(self, revision: int) -> Iterable[Document]:
        for item in self._look():
            metadata = item["metadata"] | {"resourceVersion": str(revision)}
            yield item | {"apiVersion": self.kind.api_version, "kind": self.kind.name, "metadata": metadata}


def nodes(verbs: Verbs, look: Callable[[], Document]) -> HostObjects:
    """Return the source of the one Node, which `look` describes."""
    return HostObjects(verbs, NODE, lambda: (look(),))


def services(verbs: Verbs) -> HostObjects:
    """Return the source of Services."""
    return HostObjects(verbs, SERVICE, tuple)
