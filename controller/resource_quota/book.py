"""What is used in namespaces that have quotas: read from the store once, then kept by its journal.

So a write costs what has changed since the last one, and not a look at all jobs. Who is to be admitted is checked and
stored under one lock: what two ask for at the same time is never both let in for the same room.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from api import kinds
from api.errors import Expired, Forbidden
from api.kinds import JOB, PRIORITY_CLASS, RESOURCE_QUOTA, Kind
from api.meta import Document, ObjectKey
from api.objects import admission
from api.ports import Change, ChangeType, Storage
from controller.capacity.charges import Charge, Nature
from controller.resource_quota import judging, names
from controller.resource_quota.scopes import Scopes

_OF_ALL = Scopes()


@dataclass(frozen=True, slots=True)
class _Known:
    """One job: what it counts for while it is not over, of which generation, and whether it is."""

    uid: str
    generation: int
    charge: Charge
    is_over: bool


class _Space:
    """The jobs of one namespace, and the sums of what those count for that are not over, by what they are."""

    def __init__(self) -> None:
        self.jobs: dict[str, _Known] = {}
        self._totals: dict[Nature, dict[str, int]] = {}

    def put(self, name: str, job: _Known | None) -> None:
        """Know one as it is now; None is gone."""
        self._count(self.jobs.pop(name, None), -1)
        if job is not None:
            self.jobs[name] = job
            self._count(job, 1)

    def total(self, takes: Callable[[Nature], bool]) -> dict[str, int]:
        """Return what those count for together that are taken."""
        sums: dict[str, int] = {}
        for nature, of_these in self._totals.items():
            for name, number in of_these.items() if takes(nature) else ():
                sums[name] = sums.get(name, 0) + number
        return sums

    def _count(self, job: _Known | None, sign: int) -> None:
        if job is None or job.is_over:
            return
        total = self._totals.setdefault(job.charge.nature, {})
        for name, number in job.charge.amounts.items():
            total[name] = total.get(name, 0) + sign * number
        if not any(total.values()):
            del self._totals[job.charge.nature]


class QuotaBook:
    """Knows what is used; safe to use from several threads."""

    def __init__(
        self,
        storage: Storage,
        charge: Callable[[Mapping[str, Any]], Charge],
        is_over: Callable[[Mapping[str, Any]], bool],
        begins_again: Callable[[Mapping[str, Any], Mapping[str, Any]], bool],
        default_class: Callable[[], str] = str,
    ) -> None:
        """Read `storage`; `charge` says what a job counts for, `is_over` whether it counts no more.

        `begins_again` says whether one that is over would count again if it became another, and `default_class` which
        PriorityClass those have that name none.
        """
        self._storage = storage
        self._charge = charge
        self._is_over = is_over
        self._begins_again = begins_again
        self._default_class = default_class
        self._lock = threading.Lock()
        self._revision = 0
        self._spaces: dict[str, _Space] = {}

    def charged(self, document: Document, live: Document | None) -> AbstractContextManager[None] | None:
        """Return what has room for `document` in the quotas of its namespace: store it inside; None if there are none.

        Entering it raises Forbidden, in Kubernetes' words, if there is no room.

        Raises:
            Invalid: it is a quota itself, of what is not counted.
        """
        if document["kind"] == RESOURCE_QUOTA.name:
            names.refuse_uncountable(document, live)
        space = document["metadata"].get("namespace", "")
        quotas = list(self._storage.each(RESOURCE_QUOTA.name, space)) if space else []
        if not quotas:
            return None
        return self._room_for(document, live, quotas)

    @contextmanager
    def _room_for(self, document: Document, live: Document | None, quotas: list[Document]) -> Iterator[None]:
        with self._lock:
            self._check(kinds.by_name(document["kind"]), document, live, quotas)
            yield

    def used(self, namespace: str, hard: Mapping[str, str], scopes: Scopes = _OF_ALL) -> dict[str, int]:
        """Return how much is used in a namespace, by jobs that `scopes` take, of what has the names that `hard` has."""
        with self._lock:
            return self._used(namespace, hard, scopes)

    def quotas_of(self, change: Change) -> tuple[ObjectKey, ...]:
        """Return the quotas whose use this may have changed."""
        before, after = change.previous, change.document
        if change.key.kind == PRIORITY_CLASS.name:
            return tuple(self._storage.keys(RESOURCE_QUOTA.name)) if _is_about_default(before, after) else ()
        if change.type is ChangeType.MODIFIED and before is not None:
            same = before["metadata"].get("generation") == after["metadata"].get("generation")
            if same and self._is_over(before) == self._is_over(after):
                return ()
        return tuple(self._storage.keys(RESOURCE_QUOTA.name, change.key.namespace))

    def _check(self, kind: Kind, document: Document, live: Document | None, quotas: list[Document]) -> None:
        metadata = document["metadata"]
        objects = dict.fromkeys(names.names_of(kind), 1) if live is None else {}
        runs = kind is JOB and (live is None or self._is_charged_anew(document, live))
        wanted, has = (self._charge(document), self._what_it_has(metadata)) if runs else (None, None)
        subject = metadata.get("name", "")
        about = admission.about(kind, subject)
        for quota in quotas:
            spec = quota.get("spec", {})  # A quota may be of nothing.
            hard = {name: str(most) for name, most in spec.get("hard", {}).items()}  # 2 is "2", as in a Pod.
            scopes = Scopes.of(spec)
            asked, had = self._counted(wanted, scopes), self._counted(has, scopes)
            more = objects | {name: number - had.get(name, 0) for name, number in asked.items()}
            used = self._used(metadata["namespace"], hard, scopes)
            name = quota["metadata"]["name"]
            if why := judging.why_not(name, hard, used, more, subject=subject, runs=asked != had):
                raise Forbidden(f"{about} is forbidden: {why}", about)

    def _counted(self, charge: Charge | None, scopes: Scopes) -> Mapping[str, int]:
        """Return what of a charge a quota of these scopes is about: all of it, or nothing."""
        is_taken = charge is not None and scopes.take(charge.nature, self._default_class)
        return charge.amounts if charge is not None and is_taken else {}

    def _is_charged_anew(self, document: Document, live: Document) -> bool:
        """Whether a changed job needs room for what it is now: to suspend it, or to keep it longer, needs none."""
        if document.get("spec") == live.get("spec"):
            return False
        if self._is_over(live):
            return self._begins_again(document, live)
        return self._charge(document) != self._charge(live)

    def _what_it_has(self, metadata: Mapping[str, Any]) -> Charge | None:
        """Return what a job counts for now; None if it does not."""
        self._read_on(metadata["namespace"])
        known = self._spaces[metadata["namespace"]].jobs.get(metadata.get("name", ""))
        return known.charge if known and not known.is_over and known.uid == metadata.get("uid") else None

    def _used(self, namespace: str, hard: Mapping[str, str], scopes: Scopes) -> dict[str, int]:
        self._read_on(namespace)
        space = self._spaces[namespace]
        total = space.total(lambda nature: scopes.take(nature, self._default_class))
        found = {judging.meant(name): total.get(judging.meant(name), 0) for name in hard}
        for name in hard:
            counted = names.kind_counted(name)
            if counted is not None:
                found[name] = len(space.jobs) if counted is JOB else len(self._storage.keys(counted.name, namespace))
        return found

    def _read_on(self, namespace: str) -> None:
        """Know the jobs of a namespace as they are now, and those of the others that are known."""
        try:
            newest = self._storage.revision()
            while changes := self._storage.changes(self._revision, kind=JOB.name) if self._spaces else ():
                for change in changes:
                    self._know(change)
                self._revision = changes[-1].revision
            self._revision = max(self._revision, newest)
        except Expired:
            self._spaces.clear()
        if namespace not in self._spaces:
            if not self._spaces:
                self._revision = self._storage.revision()
            space = _Space()
            for document in self._storage.each(JOB.name, namespace):
                space.put(document["metadata"]["name"], self._known(document, None))
            self._spaces[namespace] = space  # Once it is whole: what is known is never half of it.

    def _know(self, change: Change) -> None:
        space = self._spaces.get(change.key.namespace)
        if space is None:
            return
        is_gone = change.type is ChangeType.DELETED
        before = space.jobs.get(change.key.name)
        space.put(change.key.name, None if is_gone else self._known(change.document, before))

    def _known(self, document: Document, before: _Known | None) -> _Known:
        uid, generation = document["metadata"]["uid"], document["metadata"].get("generation", 0)
        same = before is not None and (before.uid, before.generation) == (uid, generation)
        charge = before.charge if before is not None and same else self._charge(document)
        return _Known(uid, generation, charge, self._is_over(document))


def _is_about_default(*classes: Document | None) -> bool:
    return any(each.get("globalDefault") for each in classes if each is not None)
