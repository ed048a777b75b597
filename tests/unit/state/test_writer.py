"""Many writes, few commits; each write gets its own outcome."""

import sqlite3
import threading
from collections.abc import Iterator, Set
from contextlib import closing
from pathlib import Path

import pytest

from api.errors import Conflict, ServiceUnavailable
from state import connection, encryption, migrations
from state.writer import Hooks, Transaction, Writer, _Write
from support.hand_clock import HandClock
from support.stores import a_document, job_key


@pytest.fixture
def commits() -> list[int]:
    return []


class Wake:
    """Counts how often it was called."""

    calls = 0

    def __call__(self, kinds: Set[str]) -> None:
        self.calls += 1


@pytest.fixture
def wake() -> Wake:
    return Wake()


@pytest.fixture
def writer(tmp_path: Path, commits: list[int], wake: Wake) -> Iterator[Writer]:
    opened = connection.open_file(tmp_path / "s.db")
    migrations.migrate(opened, "s.db")
    keyring = encryption.load(tmp_path / "secrets.key", needed=())
    made = Writer(
        opened, "s.db", HandClock(), Hooks(lambda seconds, rows: commits.append(rows), wake, lambda rows: None), keyring
    )
    yield made
    made.close()


def creating(name: str):
    return lambda tx: tx.create(job_key(name), a_document(name))


def rows(tmp_path: Path) -> list[str]:
    with closing(sqlite3.connect(tmp_path / "s.db")) as opened:
        return [name for (name,) in opened.execute("SELECT name FROM journal ORDER BY revision")]


def while_the_writer_is_busy(writer: Writer, *decisions) -> list[object]:
    """Queue `decisions` from a thread each, in order, behind a write in progress; return their outcomes."""
    outcomes: list[object] = [None] * len(decisions)
    threads: list[threading.Thread] = []

    def run(index: int) -> None:
        try:
            outcomes[index] = writer.write(decisions[index])
        except Exception as error:  # noqa: BLE001 - the outcome under test.
            outcomes[index] = error

    def hold(tx: Transaction) -> None:
        for index in range(len(decisions)):
            threads.append(threading.Thread(target=run, args=(index,)))
            threads[-1].start()
            while len(writer._waiting) <= index:
                threads[-1].join(0.001)

    writer.write(hold)
    for thread in threads:
        thread.join()
    return outcomes


def test_writes_that_wait_share_one_commit_and_one_wake_up(writer, commits, wake, tmp_path):
    outcomes = while_the_writer_is_busy(writer, *(creating(name) for name in "abc"))

    assert commits == [3]
    assert rows(tmp_path) == ["a", "b", "c"]
    assert [outcome["metadata"]["name"] for outcome in outcomes] == ["a", "b", "c"]
    assert wake.calls == 1


@pytest.mark.invariant("S5")
def test_a_refused_write_takes_only_itself_back(writer, commits, tmp_path):
    def refuse(tx: Transaction) -> None:
        raise Conflict("not this one")

    outcomes = while_the_writer_is_busy(writer, creating("a"), refuse, creating("c"))

    assert isinstance(outcomes[1], Conflict)
    assert [outcome["metadata"]["name"] for outcome in (outcomes[0], outcomes[2])] == ["a", "c"]
    assert rows(tmp_path) == ["a", "c"]
    assert commits == [2]


@pytest.mark.invariant("S5")
def test_a_write_refused_after_appending_takes_only_itself_back(writer, tmp_path):
    def refuse(tx: Transaction) -> None:
        tx.create(job_key("half"), a_document("half"))
        raise Conflict("too late")

    outcomes = while_the_writer_is_busy(writer, creating("a"), refuse, creating("c"))

    assert isinstance(outcomes[1], Conflict)
    assert sorted(rows(tmp_path)) == ["a", "c"]


@pytest.mark.invariant("S13")
def test_watchers_are_woken_for_the_writes_of_others_although_the_own_one_is_refused(writer, wake, monkeypatch):
    monkeypatch.setattr("state.writer._MOST_IN_A_COMMIT", 1)
    woken_when_refused: list[int] = []

    def refuse(tx: Transaction) -> None:
        raise Conflict("not this one")

    def own_write_is_refused() -> None:
        with pytest.raises(Conflict):
            writer.write(refuse)
        woken_when_refused.append(wake.calls)

    # As if another thread had left this write and not got the lock yet.
    writer._waiting.append(_Write(creating("of-another")))
    own_write_is_refused()

    assert woken_when_refused == [1]


@pytest.mark.invariant("S5")
def test_a_write_whose_failure_was_told_is_never_done(writer, tmp_path, monkeypatch):
    monkeypatch.setattr("state.writer._MOST_IN_A_COMMIT", 1)
    writer._waiting.append(_Write(creating("of-another")))
    writer._connection.execute("PRAGMA busy_timeout=0")
    with closing(sqlite3.connect(tmp_path / "s.db")) as busy:
        busy.execute("BEGIN IMMEDIATE")
        with pytest.raises(ServiceUnavailable):
            writer.write(creating("told"))
        busy.rollback()

    writer.write(creating("later"))

    assert rows(tmp_path) == ["of-another", "later"]


@pytest.mark.invariant("S5")
def test_a_write_that_breaks_after_appending_takes_only_itself_back(writer, tmp_path):
    def breaks(tx: Transaction) -> None:
        tx.create(job_key("half"), a_document("half"))
        raise RuntimeError("a bug of ours")

    outcomes = while_the_writer_is_busy(writer, creating("a"), breaks, creating("c"))

    assert isinstance(outcomes[1], RuntimeError)
    assert sorted(rows(tmp_path)) == ["a", "c"]


def test_a_write_sees_what_those_before_it_in_the_same_commit_wrote(writer, commits):
    outcomes = while_the_writer_is_busy(writer, creating("a"), lambda tx: tx.current(job_key("a")))

    assert outcomes[1].document["metadata"]["resourceVersion"] == "1"
    assert commits == [1]


@pytest.mark.invariant("S5")
def test_an_interrupt_takes_the_transaction_back_and_the_writer_goes_on(writer, tmp_path):
    def interrupted(tx: Transaction) -> None:
        tx.create(job_key("half"), a_document("half"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.write(interrupted)
    writer.write(creating("next"))

    assert rows(tmp_path) == ["next"]


def test_a_database_error_names_the_file_and_what_to_check(writer):
    with pytest.raises(ServiceUnavailable) as refused:
        writer.write(lambda tx: tx.connection.execute("SELECT * FROM nowhere"))

    assert refused.value.message == (
        "cannot write the store s.db: no such table: nowhere: check its file system and free space"
    )
    assert isinstance(refused.value.__cause__, sqlite3.OperationalError)
