"""kill -9 of the daemon amid an apply, a prune and a storm of writes: the next start has exactly what is declared."""

import json
import random
import sqlite3
import threading

import pytest
import yaml

from api.client import Client
from api.client_transport import Address, Unreachable
from api.errors import ApiError
from api.kinds import JOB
from support import host
from support.daemon import Daemon, a_manifest

# httpcore leaves a socket to the garbage collector when a connection breaks, which is what dead daemons do.
pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

ROUNDS = 2


@pytest.fixture
def daemon():
    before = host.snapshot()
    with Daemon("jobs.workers=4") as daemon:
        yield daemon
    host.assert_as_before(before)


@pytest.fixture
def moments():
    return random.Random(20261122)


def kill_soon(daemon, moments, longest):
    """Kill the daemon at a random moment within `longest` seconds, and start it again."""
    threading.Event().wait(moments.uniform(0.02, longest))
    daemon.kill_daemon()


def job_text(name, limit=1):
    return yaml.safe_dump(a_manifest(name, suspend=True, backoffLimit=limit))


def check_exactly(daemon, wanted):
    """There are exactly these jobs, each with this backoffLimit, none being deleted, and no manifest has a problem."""

    def as_wanted():
        found = daemon.jobs()
        return {name: job["spec"]["backoffLimit"] for name, job in found.items()} == wanted and not [
            name for name, job in found.items() if "deletionTimestamp" in job["metadata"]
        ]

    daemon.until("exactly what is declared is there", as_wanted, 40, every=0.1)
    states = {report["state"] for report in daemon.reports()}
    assert states <= {"Applied"}, states


@pytest.mark.invariant("M3")
def test_an_apply_of_a_hundred_files_that_is_cut_short_is_finished(daemon, moments):
    daemon.start()
    wanted = {}
    for round_ in range(ROUNDS):
        for number in range(100):
            name = f"job-{number:03}"
            wanted[name] = round_ + 1
            daemon.write(f"{name}.yaml", job_text(name, round_ + 1))
        kill_soon(daemon, moments, 0.6)
        daemon.start()
    check_exactly(daemon, wanted)


@pytest.mark.invariant("M3")
def test_a_prune_of_fifty_files_that_is_cut_short_is_finished(daemon, moments):
    daemon.start()
    wanted = {f"job-{number:03}": 1 for number in range(50 * ROUNDS + 10)}
    for name, limit in wanted.items():
        daemon.write(f"{name}.yaml", job_text(name, limit))
    check_exactly(daemon, wanted)

    for round_ in range(ROUNDS):
        for number in range(50 * round_, 50 * round_ + 50):
            name = f"job-{number:03}"
            del wanted[name]
            daemon.remove(f"{name}.yaml")
        # Pruning begins after a second, in which a file may come back.
        threading.Event().wait(1.0)
        kill_soon(daemon, moments, 0.5)
        daemon.start()

    check_exactly(daemon, wanted)


@pytest.mark.invariant("M3")
def test_files_and_rows_that_come_and_go_while_no_daemon_is_there_are_seen_at_its_start(daemon):
    daemon.start()
    inbox = sqlite3.connect(daemon.root / "var/lib/runwright/inbox.db", isolation_level=None)
    insert = "INSERT INTO manifests (source, name, document) VALUES ('billing', ?, ?)"
    for name in ("stays", "goes", "changes"):
        daemon.write(f"{name}.yaml", job_text(name))
        inbox.execute(insert, (name, json.dumps(a_manifest(f"row-{name}", suspend=True, backoffLimit=1))))
    check_exactly(daemon, {f"{way}{name}": 1 for way in ("", "row-") for name in ("stays", "goes", "changes")})

    daemon.kill_daemon()
    daemon.remove("goes.yaml")
    daemon.write("changes.yaml", job_text("changes", 2))
    daemon.write("comes.yaml", job_text("comes"))
    inbox.execute("DELETE FROM manifests WHERE name = 'goes'")
    changed = json.dumps(a_manifest("row-changes", suspend=True, backoffLimit=2))
    inbox.execute("UPDATE manifests SET document = ? WHERE name = 'changes'", (changed,))
    inbox.close()
    daemon.start()

    check_exactly(daemon, {"stays": 1, "changes": 2, "comes": 1, "row-stays": 1, "row-changes": 2})


@pytest.mark.invariant("S4")
def test_a_storm_of_writes_that_is_cut_short_keeps_all_that_was_acknowledged(daemon, moments):
    """Three writers by HTTP: who was told that a job is stored finds it after every kill."""
    daemon.start()
    acknowledged: set[str] = set()
    for round_ in range(ROUNDS):
        stop = threading.Event()
        writers = [
            threading.Thread(target=_write, args=(daemon, f"w{round_}{n}", acknowledged, stop)) for n in range(3)
        ]
        for writer in writers:
            writer.start()
        kill_soon(daemon, moments, 0.8)
        stop.set()
        for writer in writers:
            writer.join()
        daemon.start()
        assert acknowledged <= daemon.jobs().keys()
    assert len(acknowledged) > 20
    assert all(job["spec"]["suspend"] for job in daemon.jobs().values())


def _write(daemon, prefix, acknowledged, stop):
    client = Client(Address.of_socket(daemon.socket), field_manager=prefix)
    number = 0
    while not stop.is_set():
        name = f"{prefix}-{number}"
        try:
            client.create(JOB, "default", a_manifest(name, suspend=True))
        except (ApiError, Unreachable):
            break  # Killed under it: whether it is stored, nobody was told.
        acknowledged.add(name)
        number += 1
    client.close()
