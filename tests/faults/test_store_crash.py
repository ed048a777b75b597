"""The store after kill -9, after power loss in the middle of a write, and with a full disk."""

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from api.errors import ServiceUnavailable
from state import compaction
from state.store import Store
from support.stores import a_document, a_store, job_key, version, with_spec

ROOT = Path(__file__).parents[2]
CHILD = ROOT / "tests" / "support" / "store_child.py"
CHILD_THREADS = 3


def acknowledged_before_the_kill(path: Path, after: int) -> list[tuple[str, int, int]]:
    """Let a child write, kill it when it has acknowledged `after` writes; return all it acknowledged."""
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    command = [sys.executable, str(CHILD), str(path), "5000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as child:
        lines = [child.stdout.readline() for _ in range(after)]
        child.kill()
        lines += child.stdout.readlines()
    assert child.returncode == -9, "the child should have been killed, not have ended"
    return [(name, int(revision), int(count)) for name, revision, count in (line.split() for line in lines)]


@pytest.mark.invariant("S4")
@pytest.mark.invariant("S1")
def test_nothing_acknowledged_is_lost_and_nothing_else_appears_when_the_process_is_killed(tmp_path: Path):
    path = tmp_path / "store.db"
    acknowledged: dict[int, tuple[str, int]] = {}
    before = 0
    for after in (1, 40, 7, 150, 23):
        for name, revision, count in acknowledged_before_the_kill(path, after):
            assert revision > before, "a revision was given twice"
            acknowledged[revision] = (name, count)
        with a_store(tmp_path) as store:
            changes = {c.revision: (c.key.name, c.document["spec"]["count"]) for c in store.changes(0, limit=0)}
            before = store.revision()

        assert acknowledged.items() <= changes.items()
        # What was committed but not yet acknowledged: at most one write of each thread and kill.
        unacknowledged = changes.keys() - acknowledged.keys()
        assert len(unacknowledged) <= CHILD_THREADS
        for revision in unacknowledged:
            acknowledged[revision] = changes[revision]
        assert sorted(changes) == list(range(1, before + 1))


def written_store(directory: Path, saved: Path) -> tuple[list[dict], list[int], bytes]:
    """Write ten objects and changes; return the states, the length of the WAL at each acknowledgement, the WAL.

    SAVED gets the store's file; all the writes are still in the WAL alone.
    """
    with a_store(directory) as store:
        states, lengths = [present(store)], [wal_of(directory).stat().st_size]
        obj = store.create(a_document(spec={"text": "x" * 5000}))
        for number in range(9):
            states.append(present(store))
            lengths.append(wal_of(directory).stat().st_size)
            obj = store.update(with_spec(obj, number=number)) if number % 2 else obj
            store.create(a_document(f"j{number}"))
        states.append(present(store))
        lengths.append(wal_of(directory).stat().st_size)
        shutil.copy(directory / "store.db", saved)
        return states, lengths, wal_of(directory).read_bytes()


def present(store: Store) -> dict:
    return {item["metadata"]["name"]: item for item in store.list("Job").items}


def wal_of(directory: Path) -> Path:
    return directory / "store.db-wal"


@pytest.mark.invariant("S4")
def test_a_wal_cut_off_anywhere_is_a_prefix_that_holds_all_that_was_acknowledged(tmp_path: Path):
    (tmp_path / "live").mkdir()
    states, lengths, wal = written_store(tmp_path / "live", tmp_path / "saved.db")
    revision_of = [max((version(item) for item in state.values()), default=0) for state in states]
    found: list[int] = []

    for cut in (*range(lengths[0], len(wal), 2999), len(wal)):
        after_the_crash = tmp_path / f"cut{cut}"
        after_the_crash.mkdir()
        shutil.copy(tmp_path / "saved.db", after_the_crash / "store.db")
        wal_of(after_the_crash).write_bytes(wal[:cut])
        with a_store(after_the_crash) as store:
            revision = store.revision()
            acknowledged = max(index for index, length in enumerate(lengths) if length <= cut)
            assert revision >= revision_of[acknowledged]
            assert [change.revision for change in store.changes(0)] == list(range(1, revision + 1))
            if revision in revision_of:
                assert present(store) == states[revision_of.index(revision)]
            assert version(store.create(a_document("next"))) == revision + 1
        found.append(revision)
        shutil.rmtree(after_the_crash)

    assert found == sorted(found)
    assert found[-1] == revision_of[-1]


@pytest.mark.invariant("S5")
def test_a_write_that_finds_the_disk_full_is_refused_and_leaves_nothing(tmp_path: Path):
    with a_store(tmp_path) as store:
        kept = store.create(a_document())
        woken: list[int] = []
        store.subscribe(lambda: woken.append(1))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (wal_of(tmp_path).stat().st_size + 8192, hard))
        try:
            with pytest.raises(
                ServiceUnavailable, match=r"cannot write the store .*store.db: .*: check its file system"
            ):
                store.create(a_document("big", spec={"text": "x" * 200_000}))
            assert store.list("Job").items == (kept,)
            assert store.revision() == 1
            assert woken == []
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        assert version(store.update(with_spec(kept, command=["x"]))) == 2
        assert store.get(job_key())["spec"]["command"] == ["x"]


@pytest.mark.invariant("S12")
def test_a_compaction_cut_off_after_a_batch_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compaction, "BATCH_REVISIONS", 3)
    with a_store(tmp_path) as store:
        obj = store.create(a_document())
        for number in range(9):
            obj = store.update(with_spec(obj, number=number))
        store._writer.write(lambda tx: compaction.compact_some(tx, 0))
    with a_store(tmp_path) as store:
        assert [change.revision for change in store.changes(3)] == [4, 5, 6, 7, 8, 9, 10]
        assert store.compact(keep=0) == 7
        assert store.get(job_key()) == obj
