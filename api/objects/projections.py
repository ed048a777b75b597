"""What may be read: objects as stored, runs as Pods, manifests as reports; nothing is stored twice.

Each source can get and list, and says what a change of the store means to those who watch it. Pure
but for reading through the verbs and ports. Never here: HTTP.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from pydantic import ValidationError

from api.errors import NotFound
from api.kinds import JOB, MANIFEST, POD, Kind
from api.meta import Document
from api.objects import admission
from api.objects.listing import Page
from api.objects.selectors import EVERYTHING, Selector
from api.objects.verbs import Verbs
from api.ports import Change, ChangeType, ManifestReports
from api.types.job import Job
from api.types.job_many import is_indexed
from api.types.pod import pods_of

_LONGEST = 10


class Step(NamedTuple):
    """One object before and after a change; None is absent."""

    before: Document | None
    after: Document | None


class Source(Protocol):
    """Objects of one kind, for reading."""

    @property
    def kind(self) -> Kind:
        """What its objects are."""
        ...

    @property
    def followed(self) -> str | None:
        """The stored kind whose changes make this source's; None: it cannot be watched."""
        ...

    def get(self, namespace: str, name: str) -> Document:
        """Return an object. Raises NotFound."""
        ...

    def list(
        self,
        namespace: str | None,
        selector: Selector = EVERYTHING,
        *,
        limit: int = 0,
        continue_: str = "",
        at_revision: int | None = None,
    ) -> Page:
        """Return a page of objects."""
        ...

    def steps(self, change: Change) -> Iterable[Step]:
        """Return what a change of the followed kind did to the objects of this source."""
        ...


class Stored:
    """The objects of a kind as they are stored."""

    def __init__(self, verbs: Verbs, kind: Kind) -> None:
        """Read `kind` through `verbs`."""
        self._verbs = verbs
        self.kind = kind
        self.followed: str | None = kind.name

    def get(self, namespace: str, name: str) -> Document:
        """Return an object. Raises NotFound."""
        return self._verbs.get(self.kind, namespace, name)

    def list(
        self,
        namespace: str | None,
        selector: Selector = EVERYTHING,
        *,
        limit: int = 0,
        continue_: str = "",
        at_revision: int | None = None,
    ) -> Page:
        """Return a page of objects. Raises Expired, BadRequest."""
        return self._verbs.list(self.kind, namespace, selector, limit, continue_, at_revision=at_revision)

    def steps(self, change: Change) -> Iterable[Step]:
        """Return the change itself."""
        before = change.previous if change.previous is not None or change.type is ChangeType.ADDED else change.document
        return (Step(before, None if change.type is ChangeType.DELETED else change.document),)


class Shown(ABC):
    """Objects of one kind that are made of something else each time they are read: all of them come in one page."""

    kind: Kind
    followed: str | None = None

    @abstractmethod
    def all_of(self, namespace: str | None, at_revision: int | None = None) -> tuple[Iterable[Document], int]:
        """Return the objects of a namespace, None being all, and the revision that they are of."""

    def get(self, namespace: str, name: str) -> Document:
        """Return an object. Raises NotFound."""
        for item in self.all_of(namespace)[0]:
            metadata = item["metadata"]
            if (metadata["name"], metadata.get("namespace", "")) == (name, namespace):
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
        """Return all of them in one page, as a server may."""
        items, revision = self.all_of(namespace, at_revision)
        return Page(tuple(item for item in items if selector.matches(item)), revision)

    def steps(self, change: Change) -> Iterable[Step]:
        """Return nothing: no change of the store is theirs."""
        return ()


class Pods(Shown):
    """The runs of jobs as core/v1 Pods."""

    kind = POD
    followed: str | None = JOB.name

    def __init__(self, verbs: Verbs, node_name: str) -> None:
        """Show the runs on the node `node_name`."""
        self._verbs = verbs
        self._node_name = node_name

    def get(self, namespace: str, name: str) -> Document:
        """Return a pod. Raises NotFound."""
        for pod in self._pods(self.job_of(namespace, name)):
            if pod["metadata"]["name"] == name:
                return pod
        raise NotFound.of(admission.about(POD, name))

    def job_of(self, namespace: str, name: str) -> Document:
        """Return the job whose run the pod `name` is. Raises NotFound."""
        stem, attempt = split_number(name)
        if attempt is None:
            raise NotFound.of(admission.about(POD, name))
        job = self._job(namespace, stem)
        if job is not None and not is_indexed(job):
            return job
        stem, index = split_number(stem)
        job = None if index is None else self._job(namespace, stem)
        if job is None or not is_indexed(job):
            raise NotFound.of(admission.about(POD, name))
        return job

    def _job(self, namespace: str, name: str) -> Document | None:
        try:
            return self._verbs.get(JOB, namespace, name)
        except NotFound:
            return None

    def all_of(self, namespace: str | None, at_revision: int | None = None) -> tuple[Iterable[Document], int]:
        """Return the runs of the jobs that are stored."""
        jobs = self._verbs.list(JOB, namespace, at_revision=at_revision)
        return (pod for job in jobs.items for pod in self._pods(job)), jobs.revision

    def steps(self, change: Change) -> Iterable[Step]:
        """Return what the change of a job did to its pods."""
        before = {pod["metadata"]["name"]: pod for pod in self._pods(change.previous)}
        is_gone = change.type is ChangeType.DELETED
        after = {pod["metadata"]["name"]: pod for pod in self._pods(None if is_gone else change.document)}
        if is_gone and not before:
            before = {pod["metadata"]["name"]: pod for pod in self._pods(change.document)}
        steps = (Step(before.get(name), after.get(name)) for name in before | after)
        return [step for step in steps if not _is_same(step)]

    def _pods(self, job: Document | None) -> tuple[Document, ...]:
        if job is None:
            return ()
        try:
            return pods_of(Job.model_validate(job), self._node_name)
        except ValidationError:
            return ()  # Stored by a newer version, whose runs this one cannot show.


def split_number(name: str) -> tuple[str, int | None]:
    """Return what a name is before the number that it ends with, and that; None if it ends otherwise."""
    stem, _, number = name.rpartition("-")
    return stem, int(number) if stem and number.isascii() and number.isdigit() and len(number) < _LONGEST else None


def _is_same(step: Step) -> bool:
    if step.before is None or step.after is None:
        return False
    before, after = step.before, step.after
    version = {"resourceVersion": ""}
    return before | {"metadata": before["metadata"] | version} == after | {"metadata": after["metadata"] | version}


class Manifests(Shown):
    """What the manifest sources hold, and what is wrong with it."""

    kind = MANIFEST

    def __init__(self, verbs: Verbs, reports: ManifestReports) -> None:
        """Show `reports`."""
        self._verbs = verbs
        self._reports = reports

    def all_of(self, namespace: str | None, at_revision: int | None = None) -> tuple[Iterable[Document], int]:
        """Return the reports."""
        return map(_manifest, self._reports.reports()), self._verbs.revision()


def _manifest(report: Document) -> Document:
    place = ":".join(str(report[part]) for part in ("source", "file", "line") if report.get(part) not in (None, ""))
    given = report.get("metadata", {})
    metadata = {"name": place} | ({"creationTimestamp": report["since"]} if report.get("since") else {}) | given
    return report | {"apiVersion": MANIFEST.api_version, "kind": MANIFEST.name, "metadata": metadata}
