"""What the store costs beside bare SQLite, measured in turns in one run on the same disk.

Run: python tests/bench/bench_store.py [DIRECTORY]
"""

import json
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from api.meta import Document, ObjectKey
from state.store import Store

OBJECTS = 500
ROUNDS = 5


class Clock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class BareSqlite:
    """The floor: one table, the same PRAGMAs, one row of the same JSON a commit, nothing decided."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute("CREATE TABLE objects (id INTEGER PRIMARY KEY, name TEXT UNIQUE, value TEXT)")
        self.lock = threading.Lock()

    def put(self, name: str, document: Document) -> None:
        written = json.dumps(document)
        with self.lock:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.execute("REPLACE INTO objects (name, value) VALUES (?, ?)", (name, written))
            self.connection.execute("COMMIT")

    def get(self, name: str) -> Document:
        return json.loads(self.connection.execute("SELECT value FROM objects WHERE name = ?", (name,)).fetchone()[0])

    def list(self) -> list[Document]:
        return [json.loads(value) for (value,) in self.connection.execute("SELECT value FROM objects ORDER BY name")]


def a_job(name: str) -> Document:
    """Return a job of an ordinary size, about 1 kB of JSON."""
    return {
        "apiVersion": "runwright.dev/v1alpha1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "bench"}},
        "spec": {"command": ["true"], "env": [{"name": f"NAME_{n}", "value": "value" * 4} for n in range(16)]},
    }


def seconds(action: Callable[[], object]) -> float:
    """Return how long `action` takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def in_threads(count: int, write: Callable[[str], object]) -> None:
    """Let `count` threads share OBJECTS writes."""

    def some(number: int) -> None:
        for turn in range(OBJECTS // count):
            write(f"t{count}-{number}-{turn}-{time.monotonic_ns()}")

    threads = [threading.Thread(target=some, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def life_of_a_job(store: Store, name: str) -> None:
    """Write what a short job writes: created, finalizer added, running, done."""
    job = store.create(a_job(name))
    job = store.update(job | {"metadata": job["metadata"] | {"finalizers": ["runwright.dev/job"]}})
    job = store.update_status(job | {"status": {"phase": "Running", "attempts": 1}})
    store.update_status(job | {"status": {"phase": "Succeeded", "attempts": 1}})


def watch_seconds(store: Store) -> float:
    """Return the median time from the start of a write to its change being read by another thread."""
    woken, read, waits = threading.Event(), threading.Event(), []
    unsubscribe = store.subscribe(woken.set)

    def watch() -> None:
        seen = store.revision()
        for _ in range(50):
            woken.wait()
            woken.clear()
            seen = store.changes(seen)[-1].revision
            read.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(50):
        started = time.perf_counter()
        store.create(a_job(f"w-{number}"))
        read.wait()
        read.clear()
        waits.append(time.perf_counter() - started)
    watcher.join()
    unsubscribe()
    return statistics.median(waits)


def compare(name: str, unit: str, count: int, ours: Callable[[], object], bare: Callable[[], object]) -> None:
    """Measure both in turns and print the medians and their ratio."""
    pairs = [(seconds(ours), seconds(bare)) for _ in range(ROUNDS)]
    mine, floor = (statistics.median(column) / count * 1e6 for column in zip(*pairs, strict=True))
    print(f"{name:34} {mine:9.1f} µs/{unit:6} {1e6 / mine:9.0f}/s", end="   ")
    print(f"bare SQLite {floor:8.1f} µs   ratio {mine / floor:5.2f}")


def main(directory: Path) -> None:
    """Measure in new files under `directory`."""
    store, bare = Store.open(directory / "store.db", Clock()), BareSqlite(directory / "bare.db")
    for number in range(OBJECTS):
        store.create(a_job(f"j{number:04}"))
        bare.put(f"j{number:04}", a_job(f"j{number:04}"))
    key = ObjectKey("Job", "default", "j0042")
    compare(
        f"get, {OBJECTS} objects",
        "get",
        200,
        lambda: [store.get(key) for _ in range(200)],
        lambda: [bare.get("j0042") for _ in range(200)],
    )
    compare(f"list of {OBJECTS}", "object", OBJECTS, lambda: store.list("Job"), bare.list)
    for threads in (1, 4, 8):
        compare(
            f"create, {threads} threads",
            "write",
            OBJECTS,
            lambda threads=threads: in_threads(threads, lambda name: store.create(a_job(name))),
            lambda threads=threads: in_threads(threads, lambda name: bare.put(name, a_job(name))),
        )
    lives = [seconds(lambda number=number: life_of_a_job(store, f"life-{number}")) for number in range(100)]
    print(f"{'a whole job, 4 commits':34} {statistics.median(lives) * 1e3:9.2f} ms")
    print(f"{'write → read by a watcher':34} {watch_seconds(store) * 1e3:9.2f} ms")
    history = store.revision()
    print(f"{f'compaction of {history} revisions':34} {seconds(store.compact) * 1e3:9.1f} ms")
    store.close()
    bare.connection.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else "/var/tmp") as where:
        main(Path(where))
