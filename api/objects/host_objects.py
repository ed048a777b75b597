"""What a host has, seen as Kubernetes' objects: the one Node, and the Services, of which there are none.

Clients look for both: kubectl's cluster-info asks for services, and ends with an error if nobody knows the word;
dashboards draw nodes first. Of the Node is stored what users say of it: labels, annotations, and whether it takes new
runs (`kubectl cordon`). How it is, is asked of the host each time.
"""

from collections.abc import Callable, Iterable
from typing import Any

from api.errors import AlreadyExists
from api.kinds import NODE, SERVICE, Kind
from api.meta import Document, ObjectKey
from api.objects.projections import Shown, Step
from api.objects.verbs import Clock, Verbs, WriteOptions, Written
from api.ports import Change, ChangeType, Storage

NOBODY_FOLLOWS = ""
"""What a source follows that can be watched, and whose changes are in no store: a watch shows what is there."""


class Services(Shown):
    """The services: none."""

    kind = SERVICE
    followed: str | None = NOBODY_FOLLOWS

    def __init__(self, verbs: Verbs) -> None:
        """Be as new as `verbs`."""
        self._verbs = verbs

    def all_of(self, namespace: str | None, at_revision: int | None = None) -> tuple[Iterable[Document], int]:
        """Return nothing."""
        return (), self._verbs.revision()


class Nodes(Shown):
    """The one Node."""

    kind = NODE
    followed: str | None = NODE.name

    def __init__(self, verbs: Verbs, look: Callable[[], Document]) -> None:
        """Show what `look` returns, metadata, spec and status, with what is stored of it."""
        self._verbs = verbs
        self._look = look

    def keep(self) -> None:
        """Have something stored that users can change, from the first start on this host."""
        live = self._look()["metadata"]
        kept = {"name": live["name"]} | ({"labels": live["labels"]} if live.get("labels") else {})
        document = {"apiVersion": NODE.api_version, "kind": NODE.name, "metadata": kept, "spec": {}, "status": {}}
        if self._stored(live["name"]) is None:
            try:
                self._verbs.storage.create(document)
            except AlreadyExists:
                return

    def all_of(self, namespace: str | None, at_revision: int | None = None) -> tuple[Iterable[Document], int]:
        """Return the host as it is now."""
        revision, live = self._verbs.revision(), self._look()
        shown = self.shown(self._stored(live["metadata"]["name"]) or {}, live)
        metadata = {"resourceVersion": str(revision)} | shown["metadata"]
        return (shown | {"metadata": metadata},), revision

    def steps(self, change: Change) -> Iterable[Step]:
        """Return what users changed of it."""
        live = self._look()
        if change.key.name != live["metadata"]["name"]:
            return ()
        before = None if change.previous is None else self.shown(change.previous, live)
        return (Step(before, None if change.type is ChangeType.DELETED else self.shown(change.document, live)),)

    def shown(self, stored: Document, live: Document | None = None) -> Document:
        """Return what is stored of the host with how it is."""
        live = live or self._look()
        metadata = live["metadata"] | stored.get("metadata", {})
        labels = metadata.get("labels", {}) | live["metadata"].get("labels", {})
        return {
            "apiVersion": NODE.api_version,
            "kind": NODE.name,
            "metadata": metadata | ({"labels": labels} if labels else {}),
            "spec": live.get("spec", {}) | stored.get("spec", {}),
            "status": live["status"],
        }

    def _stored(self, name: str) -> Document | None:
        return self._verbs.storage.get(ObjectKey(NODE.name, "", name))


class NodeVerbs(Verbs):
    """The verbs that the Node has besides reading: users change what is stored of it."""

    def __init__(self, storage: Storage, clock: Clock, nodes: Nodes) -> None:
        """Change what `nodes` shows, which is in `storage`."""
        super().__init__(storage, clock)
        self._nodes = nodes

    def replace(self, *what: Any, **how: Any) -> Written:
        """Replace what is stored of it, as `Verbs.replace` does."""
        return self._shown(super().replace(*what, **how))

    def patch(self, *what: Any, **how: Any) -> Written:
        """Change it, as `Verbs.patch` does."""
        return self._shown(super().patch(*what, **how))

    def apply(
        self, kind: Kind, namespace: str, name: str, document: object, options: WriteOptions, subresource: str = ""
    ) -> Written:
        """Apply it, as `Verbs.apply` does; no other is made. Raises NotFound."""
        self.get(kind, namespace, name)
        return self._shown(super().apply(kind, namespace, name, document, options, subresource))

    def _shown(self, written: Written) -> Written:
        return written._replace(document=self._nodes.shown(written.document))
