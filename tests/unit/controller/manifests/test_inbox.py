"""Rows that another program writes, through the inbox feed and the loop, into a real store."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from api.meta import ObjectKey
from api.objects.verbs import Verbs
from controller.engine.recorder import Recorder
from controller.manifests.inbox import InboxFeed
from controller.manifests.loop import ManifestsLoop
from controller.manifests.sources import FeedError
from state.inbox import Inbox
from state.store import Store
from support.hand_clock import HandClock
from support.manifests import a_manifest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Inbox.open(tmp_path / "inbox.db").close()
    return tmp_path / "inbox.db"


@pytest.fixture
def new_loop(path: Path, verbs: Verbs, store: Store, recorder: Recorder, clock: HandClock) -> Iterator[object]:
    feeds: list[InboxFeed] = []

    def make() -> ManifestsLoop:
        feeds.append(InboxFeed(path))
        return ManifestsLoop.over([feeds[-1]], verbs, store, recorder, clock, CollectorRegistry())

    yield make
    for feed in feeds:
        feed.stop()


@pytest.fixture
def loop(new_loop) -> ManifestsLoop:
    return new_loop()


def sql(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def insert(path: Path, source: str, name: str, document: str | bytes) -> None:
    sql(path, "INSERT OR REPLACE INTO manifests (source, name, document) VALUES (?, ?, ?)", source, name, document)


def job(store: Store, name: str = "etl") -> dict | None:
    return store.get(ObjectKey("Job", "default", name))


def is_deleting(store: Store, name: str = "etl") -> bool:
    return "deletionTimestamp" in job(store, name)["metadata"]


def look(loop: ManifestsLoop, clock: HandClock) -> float:
    clock.advance(0.5)
    return loop.step()


def test_a_row_becomes_an_object_of_its_source_within_a_second(
    loop: ManifestsLoop, path: Path, store: Store, clock: HandClock
):
    wait = loop.step()
    insert(path, "billing", "nightly", a_manifest())

    look(loop, clock)

    assert wait <= 0.5
    assert job(store)["metadata"]["annotations"] == {"manifests.runwright.dev/inbox.billing": "nightly"}
    assert [entry["manager"] for entry in job(store)["metadata"]["managedFields"]] == ["manifests/inbox/billing"]


def test_a_changed_row_takes_effect_and_a_deleted_one_is_pruned_at_once(
    loop: ManifestsLoop, path: Path, store: Store, clock: HandClock
):
    insert(path, "billing", "nightly", a_manifest(memory="64Mi"))
    loop.step()
    insert(path, "billing", "nightly", a_manifest(memory="128Mi"))
    look(loop, clock)
    changed = job(store)["spec"]["resources"]["limits"]["memory"]

    sql(path, "DELETE FROM manifests")
    look(loop, clock)

    assert changed == "128Mi"
    assert is_deleting(store)


def test_when_nothing_is_written_nothing_is_done(loop: ManifestsLoop, path: Path, store: Store, clock: HandClock):
    insert(path, "billing", "nightly", a_manifest())
    loop.step()
    revision = store.revision()

    for _ in range(100):
        look(loop, clock)

    assert store.revision() == revision


def test_json_and_several_documents_in_a_row_are_read(loop: ManifestsLoop, path: Path, store: Store):
    insert(path, "billing", "all", a_manifest("a") + "\n---\n" + a_manifest("b"))
    insert(
        path,
        "billing",
        "json",
        '{"apiVersion": "runwright.dev/v1alpha1", "kind": "Job",\n'
        ' "metadata": {"name": "c"}, "spec": {"command": ["true"]}}',
    )

    loop.step()

    assert [document["metadata"]["name"] for document in store.list("Job").items] == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["../jobs/kept", "", "..", "kept/status", "%6bept"])
def test_a_row_whose_object_has_an_impossible_name_reaches_no_other(
    loop: ManifestsLoop, path: Path, store: Store, clock: HandClock, name: str
):
    insert(path, "billing", "kept", a_manifest("kept"))
    loop.step()
    before = store.list("Job").items

    insert(path, "billing", "other", a_manifest(f'"{name}"'))
    look(loop, clock)

    assert store.list("Job").items == before
    assert [r["message"][:32] for r in loop.reports.reports() if r["message"]] == ["inbox/billing/other:4: metadata."]


def test_what_is_wrong_with_a_row_is_said_with_its_source_name_and_line(loop: ManifestsLoop, path: Path):
    insert(path, "billing", "nightly", a_manifest(memory="lots"))
    insert(path, "billing", "torn", "kind: [\n")
    insert(path, "billing", "blob", b"\xff\xfe")

    loop.step()

    messages = [report["message"] for report in loop.reports.reports()]
    assert messages[0].startswith("inbox/billing/blob: the document is not ")
    assert messages[1].startswith("inbox/billing/nightly:9: spec.resources.limits.memory: ")
    assert messages[2].startswith("inbox/billing/torn:2:1: not YAML: ")


def test_a_row_that_cannot_be_read_keeps_what_it_declared(
    loop: ManifestsLoop, path: Path, store: Store, clock: HandClock
):
    insert(path, "billing", "nightly", a_manifest())
    loop.step()

    insert(path, "billing", "nightly", "kind: [")
    look(loop, clock)

    assert not is_deleting(store)


@pytest.mark.parametrize("source", ["../x", "a b", "-", "x" * 58, "a/b"])
def test_a_source_with_an_impossible_name_is_told(loop: ManifestsLoop, path: Path, source: str):
    insert(path, source, "nightly", a_manifest())

    loop.step()

    [report] = loop.reports.reports()
    assert report["state"] == "Invalid"
    assert "is no name: use letters, digits, and inside -, _ and ., at most 57 of them" in report["message"]


def test_two_sources_own_their_own_fields_and_the_last_that_goes_takes_the_object(
    loop: ManifestsLoop, path: Path, store: Store, clock: HandClock
):
    insert(path, "billing", "nightly", a_manifest())
    insert(
        path,
        "ops",
        "limits",
        "apiVersion: runwright.dev/v1alpha1\nkind: Job\nmetadata: {name: etl}\n"
        "spec: {backoffLimit: 2, command: [python3, -c, print(1)]}",
    )
    loop.step()
    both = job(store)["spec"]

    sql(path, "DELETE FROM manifests WHERE source = 'billing'")
    look(loop, clock)
    one = job(store)["spec"]
    sql(path, "DELETE FROM manifests WHERE source = 'ops'")
    look(loop, clock)

    assert (both["backoffLimit"], "resources" in both) == (2, True)
    assert one == {"backoffLimit": 2, "command": ["python3", "-c", "print(1)"]}
    assert is_deleting(store)


def test_what_a_source_deleted_while_nobody_looked_is_pruned_at_the_next_start(new_loop, path: Path, store: Store):
    insert(path, "billing", "nightly", a_manifest())
    new_loop().step()
    sql(path, "DELETE FROM manifests")

    new_loop().step()

    assert is_deleting(store)


def test_an_inbox_that_is_lost_prunes_nothing_and_says_so(
    loop: ManifestsLoop, path: Path, store: Store, clock: HandClock
):
    insert(path, "billing", "nightly", a_manifest())
    loop.step()
    for file in path.parent.glob("inbox.db*"):
        file.unlink()

    for _ in range(5):
        look(loop, clock)

    assert not is_deleting(store)
    [first, *_] = loop.reports.reports()
    assert (first["file"], first["state"]) == ("*", "Unreadable")
    assert "it is gone" in first["message"]


def test_an_inbox_that_was_lost_and_made_anew_prunes_nothing_of_who_has_not_written_into_it(
    new_loop, path: Path, store: Store, clock: HandClock
):
    insert(path, "billing", "nightly", a_manifest("a"))
    insert(path, "ops", "limits", a_manifest("b"))
    new_loop().step()
    for file in path.parent.glob("inbox.db*"):
        file.unlink()

    loop = new_loop()
    loop.step()
    insert(path, "billing", "other", a_manifest("c"))
    look(loop, clock)

    assert (is_deleting(store, "a"), is_deleting(store, "b")) == (True, False)


def test_an_inbox_that_is_no_database_is_an_error_that_names_it(tmp_path: Path):
    (tmp_path / "inbox.db").write_bytes(b"junk" * 1000)

    with pytest.raises(FeedError, match=r"cannot read the inbox .*inbox\.db: "):
        InboxFeed(tmp_path / "inbox.db").look(thoroughly=True)


def test_an_inbox_that_can_be_read_again_is_read_again(path: Path):
    feed = InboxFeed(path)
    insert(path, "billing", "nightly", a_manifest())
    feed.look(thoroughly=False)
    path.rename(path.with_name("away"))
    with pytest.raises(FeedError, match="it is gone"):
        feed.look(thoroughly=False)
    path.with_name("away").rename(path)

    reading = feed.look(thoroughly=False)

    assert reading is not None
    assert [entry.name for entry in reading.entries] == ["nightly"]
    feed.stop()
