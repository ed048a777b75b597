"""The loop as it runs: threads, inotify, a real directory, a real inbox, a real store."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from api.errors import ServiceUnavailable
from api.meta import ObjectKey
from api.objects.verbs import Verbs
from controller.engine.clock import SystemClock
from controller.engine.recorder import Recorder
from controller.manifests.applier import Applier
from controller.manifests.directory import DirectoryFeed
from controller.manifests.inbox import InboxFeed
from controller.manifests.loop import ManifestsLoop
from controller.manifests.sources import Reading
from state.inbox import Inbox
from state.store import Store
from support.manifests import a_manifest, put
from support.toy_kind import until


@pytest.fixture
def running(root: Path, tmp_path: Path, store: Store, verbs: Verbs, recorder: Recorder) -> Iterator[ManifestsLoop]:
    clock = SystemClock()
    Inbox.open(tmp_path / "inbox.db").close()
    feeds = [DirectoryFeed(root, clock), InboxFeed(tmp_path / "inbox.db")]
    loop = ManifestsLoop.over(feeds, verbs, store, recorder, clock, CollectorRegistry())
    loop.start()
    yield loop
    loop.stop()
    assert not loop.is_alive()


def has(store: Store, name: str) -> Callable[[], bool]:
    return lambda: store.get(ObjectKey("Job", "default", name)) is not None


def is_going(store: Store, name: str) -> Callable[[], bool]:
    return lambda: "deletionTimestamp" in store.get(ObjectKey("Job", "default", name))["metadata"]


def test_files_and_rows_become_objects_and_go_with_them(
    running: ManifestsLoop, root: Path, tmp_path: Path, store: Store
):
    (root / "etl.yaml").write_text(a_manifest("from-file"))
    until(store, has(store, "from-file"))
    with closing(sqlite3.connect(tmp_path / "inbox.db")) as connection, connection:
        connection.execute("INSERT INTO manifests (name, document) VALUES ('x', ?)", [a_manifest("from-row")])
    until(store, has(store, "from-row"))

    (root / "etl.yaml").unlink()
    until(store, is_going(store, "from-file"))

    assert running.is_synced()
    assert not is_going(store, "from-row")()


def test_three_hundred_files_dropped_at_once_are_all_applied(running: ManifestsLoop, root: Path, store: Store):
    for number in range(300):
        (root / f"{number}.yaml").write_text(a_manifest(f"job-{number}"))

    until(store, lambda: len(store.list("Job").items) == 300)

    assert all(r["state"] == "Applied" for r in running.reports.reports())


def test_a_store_that_is_away_for_a_moment_costs_a_moment(
    feed: DirectoryFeed,
    verbs: Verbs,
    store: Store,
    recorder: Recorder,
    root: Path,
    clock: object,
    registry: CollectorRegistry,
):
    failures = [ServiceUnavailable("cannot write the store: it is full")]

    class Failing:
        def __getattr__(self, name: str) -> object:
            return getattr(verbs, name)

        def apply(self, *args: object, **named: object) -> object:
            if failures:
                raise failures.pop()
            return verbs.apply(*args, **named)

    put(root / "etl.yaml", a_manifest())
    loop = ManifestsLoop.over([feed], Failing(), store, recorder, clock, registry)

    wait = loop.step()
    first = [(r["state"], r["message"]) for r in loop.reports.reports()]
    clock.advance(wait)
    loop.step()

    assert (wait, first) == (1.0, [("Pending", "etl.yaml:1: cannot write the store: it is full")])
    assert [r["state"] for r in loop.reports.reports()] == ["Applied"]


def test_a_bug_in_one_pass_ends_no_thread(
    monkeypatch: pytest.MonkeyPatch, running: ManifestsLoop, root: Path, store: Store, caplog: pytest.LogCaptureFixture
):
    real, bugs = Applier.apply, [ZeroDivisionError("a bug")]

    def apply(self: Applier, reading: Reading, **named: object) -> object:
        if bugs and reading.entries:
            raise bugs.pop()
        return real(self, reading, **named)

    monkeypatch.setattr(Applier, "apply", apply)
    (root / "etl.yaml").write_text(a_manifest())

    until(store, has(store, "etl"))

    assert running.is_alive()
    assert "reading the manifests ended in a bug" in caplog.text


def test_a_loop_that_never_started_can_be_stopped(loop: ManifestsLoop):
    loop.stop()

    assert not loop.is_alive()


def test_a_directory_that_is_swapped_for_another_is_noticed_without_waiting(
    running: ManifestsLoop, root: Path, tmp_path: Path, store: Store
):
    (tmp_path / "next").mkdir()
    put(tmp_path / "next/new.yaml", a_manifest("of-the-next"))
    put(root / "old.yaml", a_manifest("of-the-first"))
    until(store, has(store, "of-the-first"))

    root.rename(tmp_path / "previous")
    (tmp_path / "next").rename(root)

    until(store, has(store, "of-the-next"))
    until(store, is_going(store, "of-the-first"))
    assert running.is_alive()
