"""Many threads on one store: who wins, and what a watcher sees."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.errors import AlreadyExists, Conflict
from api.meta import Document
from api.ports import ChangeType
from state.store import Store
from support.stores import a_document, a_store, job_key, version, with_spec

THREADS = 6
PATIENCE_SECONDS = 30.0


def outcomes(operation: Callable[[int], Document]) -> list[Document | Exception]:
    """Run `operation` in all threads at the same moment."""
    together = threading.Barrier(THREADS)

    def run(number: int) -> Document | Exception:
        together.wait()
        try:
            return operation(number)
        except (AlreadyExists, Conflict) as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def add_one(store: Store) -> None:
    """Count up in the object, reading it again after each conflict."""
    while True:
        current = store.get(job_key())
        try:
            store.update(with_spec(current, count=current["spec"]["count"] + 1))
        except Conflict:
            continue
        return


@pytest.mark.invariant("S6")
def test_of_several_updates_from_one_version_exactly_one_wins(tmp_path: Path):
    with a_store(tmp_path) as store:
        base = store.create(a_document())
        for _ in range(20):
            found = outcomes(lambda number, base=base: store.update(with_spec(base, winner=[number, base])))

            won = [outcome for outcome in found if isinstance(outcome, dict)]
            assert len(won) == 1
            assert store.get(job_key()) == won[0]
            base = with_spec(won[0], winner=None)


@pytest.mark.invariant("S6")
def test_of_several_creations_of_one_name_exactly_one_wins(tmp_path: Path):
    with a_store(tmp_path) as store:
        for _ in range(20):
            found = outcomes(lambda number: store.create(a_document(spec={"winner": number})))

            won = [outcome for outcome in found if isinstance(outcome, dict)]
            assert won == [store.get(job_key())]
            store.delete(job_key())


@pytest.mark.invariant("S6")
def test_no_update_is_lost(tmp_path: Path):
    with a_store(tmp_path) as store, ThreadPoolExecutor(THREADS) as pool:
        store.create(a_document(spec={"count": 0}))

        list(pool.map(lambda _: add_one(store), range(60)))

        counted = store.get(job_key())
        assert counted["spec"]["count"] == 60
        assert version(counted) == 61


class Follower:
    """Lists, then watches, keeping its own picture, until it has seen `last`."""

    def __init__(self, store: Store, last: Callable[[], int | None]) -> None:
        self.store = store
        self.last = last
        self.revisions: list[int] = []
        self.picture: dict[str, Document] = {}

    def follow(self) -> None:
        woken = threading.Event()
        unsubscribe = self.store.subscribe(woken.set)
        try:
            listing = self.store.list("Job")
            self.picture = {item["metadata"]["name"]: item for item in listing.items}
            seen = listing.revision
            while seen != self.last():
                changes = self.store.changes(seen, limit=7)
                for change in changes:
                    assert change.previous == self.picture.get(change.key.name)
                    self.apply(change.type, change.key.name, change.document)
                    self.revisions.append(change.revision)
                    seen = change.revision
                if not changes and not woken.wait(PATIENCE_SECONDS):
                    raise AssertionError("woken no more, and the last change has not been seen")
                woken.clear()
        finally:
            unsubscribe()

    def apply(self, type_: ChangeType, name: str, document: Document) -> None:
        if type_ is ChangeType.DELETED:
            del self.picture[name]
        else:
            assert (name in self.picture) == (type_ is ChangeType.MODIFIED)
            self.picture[name] = document


def busy(store: Store, number: int) -> None:
    """Create, change and delete objects of one's own and a shared one."""
    for turn in range(15):
        name = f"j{number}-{turn % 3}"
        made = store.create(a_document(name))
        store.update(with_spec(made, turn=turn))
        add_one(store)
        store.delete(job_key(name))


@pytest.mark.invariant("S2")
def test_list_then_watch_loses_and_repeats_nothing_while_others_write(tmp_path: Path):
    with a_store(tmp_path) as store:
        store.create(a_document(spec={"count": 0}))
        final: list[int] = []
        followers = [Follower(store, lambda: final[0] if final else None) for _ in range(3)]
        with ThreadPoolExecutor(THREADS) as pool:
            writing = [pool.submit(busy, store, number) for number in range(3)]
            following = [pool.submit(follower.follow) for follower in followers]
            for future in writing:
                future.result()
            final.append(version(store.create(a_document("last"))))
            for future in following:
                future.result()

        present = {item["metadata"]["name"]: item for item in store.list("Job").items}
        for follower in followers:
            assert follower.picture == present
            # One after the other, up to the last: nothing lost, nothing repeated.
            assert follower.revisions == list(range(final[0] - len(follower.revisions) + 1, final[0] + 1))
