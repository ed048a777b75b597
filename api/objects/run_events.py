"""Events of jobs' runs, which are their pods' events too: each is stored once and shown twice. Pure but for reading.

What is told of a run is stored as an event about its job, with the run's Pod as what it is `related` to. Whoever
reads events is shown it so, and once more as an event about the Pod, with a name and a uid of its own: the two are
one event, and who deletes either deletes both. Why so: docs/design/0007-events-of-pods.md.
Invariant: what is shown of an event depends on it alone, so that lists, watches and pages agree.
"""

from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

from api.errors import NotFound
from api.kinds import EVENT, JOB, POD, Kind
from api.meta import Document
from api.objects import admission, listing, writes
from api.objects.listing import Page
from api.objects.projections import Step, Stored, split_number
from api.objects.selectors import EVERYTHING, Selector
from api.objects.verbs import Deleted, Verbs
from api.ports import Change
from api.types.pod import CONTAINER_NAME

_OF_POD = "-pod"
_FIELD = f"spec.containers{{{CONTAINER_NAME}}}"


def forms(event: Document) -> tuple[Document, ...]:
    """Return an event as it is stored, and as its pod's own if it is about a run."""
    about, pod = event.get("involvedObject"), event.get("related")
    if not isinstance(about, dict) or not isinstance(pod, dict) or not pod.get("name"):
        return (event,)
    is_of_run = (about.get("apiVersion"), about.get("kind")) == (JOB.api_version, JOB.name)
    if not is_of_run or (pod.get("apiVersion"), pod.get("kind")) != (POD.api_version, POD.name):
        return (event,)
    metadata = event["metadata"]
    said = metadata["name"].rpartition(".")[2]
    own = {"name": f"{pod['name']}.{said}", "uid": f"{metadata['uid']}{_OF_POD}"}
    return event, event | {
        "metadata": metadata | own, "involvedObject": pod | {"fieldPath": _FIELD}, "related": about,
    }  # fmt: skip


class Events(Stored):
    """The events, for reading."""

    def __init__(self, verbs: Verbs) -> None:
        """Read through `verbs`."""
        super().__init__(verbs, EVENT)

    def get(self, namespace: str, name: str) -> Document:
        """Return an event. Raises NotFound."""
        return self.both(namespace, name)[1]

    def both(self, namespace: str, name: str) -> tuple[Document, Document]:
        """Return an event as it is stored, and as it is called `name`. Raises NotFound."""
        if event := self._stored(namespace, name):
            return event, event
        for stored in _names(name):
            event = self._stored(namespace, stored)
            for shown in forms(event)[1:] if event else ():
                if event and shown["metadata"]["name"] == name:
                    return event, shown
        raise NotFound.of(admission.about(EVENT, name))

    def _stored(self, namespace: str, name: str) -> Document | None:
        try:
            return self._verbs.get(EVENT, namespace, name)
        except NotFound:
            return None

    def list(
        self,
        namespace: str | None,
        selector: Selector = EVERYTHING,
        *,
        limit: int = 0,
        continue_: str = "",
        at_revision: int | None = None,
    ) -> Page:
        """Return a page of events. Raises Expired, BadRequest."""
        return listing.list_page(
            self._verbs.storage, EVENT, namespace, selector,
            limit=limit, continue_=continue_, at_revision=at_revision, forms=forms,
        )  # fmt: skip

    def steps(self, change: Change) -> Iterable[Step]:
        """Return the change, of each form that the event has."""
        for before, after in super().steps(change):
            old, new = (() if each is None else forms(each) for each in (before, after))
            yield from (Step(*pair) for pair in zip_longest(old, new))


def _names(name: str) -> Iterable[str]:
    """Yield the names that an event may be stored by which is shown as `name`: those of the job, in place of the pod.

    >>> list(_names("etl-3-1.0a1b"))
    ['etl-3.0a1b', 'etl.0a1b']
    """
    pod, dot, said = name.rpartition(".")
    for _ in range(2):
        pod, number = split_number(pod)
        if dot and number is not None:
            yield f"{pod}.{said}"


class EventVerbs(Verbs):
    """The verbs on events: they are deleted by either of their names."""

    def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        **how: Any,
    ) -> Deleted:
        """Delete an event, as `Verbs.delete` does."""
        stored, shown = Events(self).both(namespace, name)
        sent = {"metadata": {"uid": uid, "resourceVersion": resource_version}}
        writes.check_preconditions(kind, shown, sent)
        metadata = stored["metadata"]
        own = {"uid": metadata["uid"], "resource_version": resource_version}
        deleted = super().delete(EVENT, namespace, metadata["name"], **own, **how)
        return deleted if stored is shown else deleted._replace(document=shown)

    def delete_collection(self, kind: Kind, namespace: str | None, selector: Selector = EVERYTHING, **how: Any) -> Page:
        """Delete every event that `selector` takes in any form; return what was taken."""
        page = Events(self).list(namespace, selector)
        chosen = frozenset(item["metadata"]["uid"].removesuffix(_OF_POD) for item in page.items)
        super().delete_collection(
            EVENT, namespace, Selector((lambda event: event["metadata"]["uid"] in chosen,)), **how
        )
        return page
