"""The store does what a dict with a history would do, through restarts, compaction and resumed watches."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from api.errors import AlreadyExists, Conflict, Expired, NotFound
from api.meta import Document
from api.ports import ChangeType
from state.store import Store
from support.hand_clock import HandClock
from support.stores import FINALIZER, a_document, job_key, version, with_metadata, with_spec, with_status

NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.integers(0, 3)


class StoreIsADictWithAHistory(RuleBasedStateMachine):
    """`model` is the objects now; `history` every change; `moments` the objects at each revision."""

    versions = Bundle("versions")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.clock = HandClock()
        self.model: dict[str, Document] = {}
        self.history: list[tuple[int, ChangeType, str, Document]] = []
        self.moments: dict[int, dict[str, Document]] = {0: {}}
        self.floor = 0
        self.watched: dict[str, Document] = {}
        self.watched_until = 0
        self.store = self.open()

    def open(self) -> Store:
        return Store.open(Path(self.directory.name) / "store.db", self.clock)

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    @property
    def newest(self) -> int:
        return max(self.moments)

    def happened(self, type_: ChangeType, name: str, stored: Document) -> None:
        """Record a change that the store says it made."""
        revision = version(stored)
        assert revision == self.newest + 1
        self.history.append((revision, type_, name, stored))
        if type_ is ChangeType.DELETED:
            del self.model[name]
        else:
            self.model[name] = stored
        self.moments[revision] = dict(self.model)

    @rule(target=versions, name=NAMES, value=VALUES, has_finalizer=st.booleans())
    def create(self, name: str, value: int, has_finalizer: bool) -> Document:
        sent = a_document(name, spec={"value": value}, finalizers=[FINALIZER] if has_finalizer else [])
        if name in self.model:
            with pytest.raises(AlreadyExists):
                self.store.create(sent)
            return self.model[name]
        stored = self.store.create(sent)
        assert stored["spec"] == {"value": value}
        assert stored["metadata"]["generation"] == 1
        self.happened(ChangeType.ADDED, name, stored)
        return stored

    @rule(target=versions, base=versions, value=VALUES)
    def change_spec(self, base: Document, value: int) -> Document:
        return self.write(base, with_spec(base, value=value), self.store.update)

    @rule(target=versions, base=versions, label=VALUES)
    def change_label(self, base: Document, label: int) -> Document:
        return self.write(base, with_metadata(base, labels={"label": str(label)}), self.store.update)

    @rule(target=versions, base=versions, value=VALUES)
    def change_status(self, base: Document, value: int) -> Document:
        return self.write(base, with_status(base, value=value), self.store.update_status)

    @rule(target=versions, base=versions)
    def remove_finalizer(self, base: Document) -> Document:
        return self.write(base, with_metadata(base, finalizers=[]), self.store.update)

    def write(self, base: Document, sent: Document, operation: Any) -> Document:
        name = base["metadata"]["name"]
        current = self.model.get(name)
        if current is None:
            with pytest.raises(NotFound):
                operation(sent)
            return base
        if version(base) != version(current):
            with pytest.raises(Conflict):
                operation(sent)
            return base
        stored = operation(sent)
        if sent == current or self.means_the_same(sent, current):
            assert stored == current
            return current
        before, after = current["metadata"], stored["metadata"]
        assert {"spec": stored["spec"], "status": stored.get("status")} == {
            "spec": sent["spec"],
            "status": sent.get("status"),
        }
        assert after["generation"] == before["generation"] + (sent["spec"] != current["spec"])
        is_finished = "deletionTimestamp" in before and not after.get("finalizers")
        self.happened(ChangeType.DELETED if is_finished else ChangeType.MODIFIED, name, stored)
        return stored

    @staticmethod
    def means_the_same(sent: Document, current: Document) -> bool:
        metadata = {name: value for name, value in sent["metadata"].items() if value}
        return sent | {"metadata": metadata} == current

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        current = self.model.get(name)
        if current is None:
            with pytest.raises(NotFound):
                self.store.delete(job_key(name))
            return
        stored = self.store.delete(job_key(name))
        if "deletionTimestamp" in current["metadata"]:
            assert stored == current
        elif current["metadata"].get("finalizers"):
            assert stored["metadata"]["generation"] == current["metadata"]["generation"] + 1
            self.happened(ChangeType.MODIFIED, name, stored)
        else:
            assert with_metadata(stored, resourceVersion=None) == with_metadata(current, resourceVersion=None)
            self.happened(ChangeType.DELETED, name, stored)

    @rule(base=versions)
    def delete_a_version(self, base: Document) -> None:
        name = base["metadata"]["name"]
        current = self.model.get(name)
        if current is not None and version(current) != version(base):
            with pytest.raises(Conflict):
                self.store.delete(job_key(name), revision=version(base))

    @rule(keep=st.integers(0, 6))
    def compact(self, keep: int) -> None:
        self.store.compact(keep)
        self.floor = max(self.floor, self.newest - keep)

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = self.open()

    @rule(limit=st.integers(1, 4))
    def watch_on(self, limit: int) -> None:
        """Read on from where the watch stopped; list again when told to."""
        if self.watched_until < self.floor:
            with pytest.raises(Expired):
                self.store.changes(self.watched_until)
            listing = self.store.list("Job")
            self.watched = {item["metadata"]["name"]: item for item in listing.items}
            self.watched_until = listing.revision
        else:
            changes = self.store.changes(self.watched_until, kind="Job", limit=limit)
            expected = [event for event in self.history if event[0] > self.watched_until][:limit]
            assert [(c.revision, c.type, c.key.name, c.document) for c in changes] == expected
            for change in changes:
                assert change.previous == self.watched.pop(change.key.name, None)
                if change.type is not ChangeType.DELETED:
                    self.watched[change.key.name] = change.document
                self.watched_until = change.revision
        assert self.watched == self.moments[self.watched_until]

    @precondition(lambda self: self.newest)
    @rule(data=st.data())
    def look_back(self, data: st.DataObject) -> None:
        revision = data.draw(st.integers(0, self.newest))
        if revision < self.floor:
            with pytest.raises(Expired):
                self.store.list("Job", at_revision=revision)
            return
        found = self.store.list("Job", at_revision=revision).items
        assert {item["metadata"]["name"]: item for item in found} == self.moments[revision]

    @rule(limit=st.integers(1, 3))
    def read_in_pages(self, limit: int) -> None:
        page = self.store.list("Job", "default", limit=limit)
        items = list(page.items)
        while page.remaining:
            assert page.remaining == len(self.model) - len(items)
            last = job_key(items[-1]["metadata"]["name"])
            page = self.store.list("Job", "default", at_revision=page.revision, after=last, limit=limit)
            items += page.items
        assert items == [self.model[name] for name in sorted(self.model)]

    @initialize()
    def begin_empty(self) -> None:
        assert self.store.revision() == 0

    @invariant()
    def the_present_is_the_model(self) -> None:
        listing = self.store.list("Job")
        assert listing.revision == self.store.revision() == self.newest
        assert list(listing.items) == [self.model[name] for name in sorted(self.model)]
        for name in "abc":
            assert self.store.get(job_key(name)) == self.model.get(name)


StoreIsADictWithAHistory.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.invariant("S1")
@pytest.mark.invariant("S2")
@pytest.mark.invariant("S3")
@pytest.mark.invariant("S7")
@pytest.mark.invariant("S8")
@pytest.mark.invariant("S12")
class TestTheStoreIsADictWithAHistory(StoreIsADictWithAHistory.TestCase):
    """Runs the machine."""
