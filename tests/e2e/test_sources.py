"""Three ways in, one meaning: the watched directory, the inbox table, the API; who owns what, and what pruning takes."""

import json
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
import yaml

from api.client import Client
from api.client_transport import Address
from api.client_watch import Watch
from api.errors import Conflict
from api.kinds import JOB
from support import host
from support.daemon import a_daemon, a_manifest

pytestmark = pytest.mark.needs_root

NOTICED_SECONDS = 1.0
INBOX = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
    statement, _, rest = line.rstrip("\\n").partition("\\t")
    connection.execute(statement, rest.split("\\t") if rest else [])
    print("done", flush=True)
"""


@pytest.fixture(scope="module")
def daemon():
    before = host.snapshot()
    with a_daemon("jobs.workers=8") as daemon:
        yield daemon
    host.assert_as_before(before)


@pytest.fixture(scope="module")
def billing(daemon):
    """Another program, with the inbox open in a process of its own: call it with a statement."""
    inbox = str(daemon.root / "var/lib/runwright/inbox.db")
    with subprocess.Popen(
        [sys.executable, "-c", INBOX, inbox], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def execute(statement, *values):
            process.stdin.write("\t".join([" ".join(statement.split()), *values]) + "\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"

        yield execute
        process.stdin.close()


class Timed:
    """A watch of all jobs that notes when, on the monotonic clock, each change was seen."""

    def __init__(self, daemon):
        self.client = Client(Address.of_socket(daemon.socket))
        self.seen = []
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def follow(self):
        for event in Watch(self.client, JOB, "default"):
            if event.document["metadata"]["name"] == "last-of-all":
                return
            with self.changed:
                self.seen.append((time.monotonic(), event.type, event.document))
                self.changed.notify_all()

    def when(self, holds, since):
        """Return how long after `since` the first change came that `holds`."""
        with self.changed:
            found = self.changed.wait_for(lambda: [at for at, *what in self.seen if at >= since and holds(*what)], 10)
        assert found, [(kind, document["metadata"]["name"]) for _, kind, document in self.seen]
        return found[0] - since


@pytest.fixture(scope="module")
def timed(daemon):
    timed = Timed(daemon)
    yield timed
    daemon.apply("last-of-all", suspend=True)
    timed.thread.join(10)
    timed.client.close()


def named(name, kind=None, **spec):
    def holds(type_, document):
        fits = document["metadata"]["name"] == name and (kind is None or type_ == kind)
        return fits and all(document["spec"].get(key) == value for key, value in spec.items())

    return holds


def insert(billing, name, document):
    billing("INSERT INTO manifests (source, name, document) VALUES ('billing', ?, ?)", name, json.dumps(document))


def manager_of(document, manager):
    return next((entry for entry in document["metadata"]["managedFields"] if entry["manager"] == manager), None)


def meaning(document):
    """What a job says, without what tells one object from another and who wrote it."""
    return document["apiVersion"], document["kind"], document["spec"]


# One meaning


@pytest.mark.invariant("M4")
def test_the_same_manifest_means_the_same_whichever_way_it_comes(daemon, billing):
    spec = {
        "command": ["sh", "-c", "echo $WORD"],
        "env": [{"name": "WORD", "value": "ü"}],
        "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}},
        "backoffLimit": 1,
    }
    daemon.write("by-file.yaml", yaml.safe_dump(a_manifest("by-file", **spec)))
    insert(billing, "row", a_manifest("by-row", **spec))
    daemon.apply("by-api", **spec)
    done = daemon.rnx("apply", "-f", "-", stdin=json.dumps(a_manifest("by-rnx", **spec)))
    assert done.returncode == 0, done.stderr

    names = ("by-file", "by-row", "by-api", "by-rnx")
    for name in names:
        daemon.until(f"{name} is there", lambda name=name: daemon.get(JOB, name))
        assert daemon.ended(name)["phase"] == "Succeeded"

    jobs = [daemon.get(JOB, name) for name in names]
    assert all(meaning(job) == meaning(jobs[0]) for job in jobs)
    assert [daemon.log_of(name) for name in names] == ["ü\n"] * 4
    assert len({job["status"]["templateHash"] for job in jobs}) == 1
    for job, manager in zip(jobs, ("manifests/directory", "manifests/inbox/billing", "tests", "rnx"), strict=True):
        entry = manager_of(job, manager)
        assert entry["operation"] == "Apply"
        assert "f:command" in entry["fieldsV1"]["f:spec"]


# Noticed in time


@pytest.mark.invariant("M5")
def test_a_file_that_comes_changes_and_goes_is_noticed_within_a_second(daemon, timed):
    noticed = []
    for seconds, kind in ((30, "ADDED"), (31, None)):
        since = time.monotonic()
        daemon.write("timed.yaml", yaml.safe_dump(a_manifest("timed-file", backoffSeconds=seconds, suspend=True)))
        noticed.append(timed.when(named("timed-file", kind, backoffSeconds=seconds), since))

    since = time.monotonic()
    daemon.remove("timed.yaml")
    gone = timed.when(named("timed-file", "DELETED"), since)

    assert max(noticed) <= NOTICED_SECONDS
    # Whoever moves files in two steps shall not lose a job over it: a file must be missing for a second.
    assert 1.0 <= gone <= 1.0 + NOTICED_SECONDS


@pytest.mark.invariant("M5")
def test_a_row_that_comes_changes_and_goes_is_noticed_within_a_second(daemon, billing, timed):
    noticed = []
    since = time.monotonic()
    insert(billing, "timed", a_manifest("timed-row", backoffSeconds=30, suspend=True))
    noticed.append(timed.when(named("timed-row", "ADDED"), since))

    since = time.monotonic()
    changed = json.dumps(a_manifest("timed-row", backoffSeconds=31, suspend=True))
    billing("UPDATE manifests SET document = ? WHERE name = 'timed'", changed)
    noticed.append(timed.when(named("timed-row", backoffSeconds=31), since))

    since = time.monotonic()
    billing("DELETE FROM manifests WHERE name = 'timed'")
    noticed.append(timed.when(named("timed-row", "DELETED"), since))

    assert max(noticed) <= NOTICED_SECONDS, noticed


# Who owns what


@pytest.mark.invariant("M4")
def test_what_another_writer_adds_stays_when_the_manifest_changes(daemon):
    daemon.write("shared.yaml", yaml.safe_dump(a_manifest("shared", suspend=True, backoffLimit=1)))
    daemon.until("it is there", lambda: daemon.get(JOB, "shared"))
    label = {"metadata": {"labels": {"team": "blue"}}, "spec": {"ttlSecondsAfterFinished": 9}}
    daemon.client.merge_patch(JOB, "default", "shared", label)

    daemon.write("shared.yaml", yaml.safe_dump(a_manifest("shared", suspend=True, backoffLimit=2)))

    job = daemon.until("changed", lambda: (j := daemon.get(JOB, "shared"))["spec"]["backoffLimit"] == 2 and j)
    assert job["metadata"]["labels"]["team"] == "blue"
    assert job["spec"]["ttlSecondsAfterFinished"] == 9
    assert {entry["manager"] for entry in job["metadata"]["managedFields"]} >= {"manifests/directory", "tests"}


def test_a_field_that_a_manifest_no_longer_sets_goes_unless_another_set_it(daemon):
    daemon.write("dropped.yaml", yaml.safe_dump(a_manifest("dropped", suspend=True, backoffLimit=1, workingDir="/tmp")))
    daemon.until("it is there", lambda: daemon.get(JOB, "dropped"))

    daemon.write("dropped.yaml", yaml.safe_dump(a_manifest("dropped", suspend=True)))

    def default_again():
        spec = daemon.get(JOB, "dropped")["spec"]
        return spec.get("backoffLimit", 6) == 6 and spec.get("workingDir", "/work") == "/work"

    daemon.until("the defaults are back", default_again)
    assert daemon.get(JOB, "dropped")["spec"]["suspend"] is True


def test_two_sources_that_want_different_things_conflict_and_the_first_stays(daemon, billing):
    daemon.write("contested.yaml", yaml.safe_dump(a_manifest("contested", suspend=True, backoffLimit=1)))
    daemon.until("it is there", lambda: daemon.get(JOB, "contested"))

    insert(billing, "contested", a_manifest("contested", suspend=True, backoffLimit=2))

    report = daemon.report_of("contested", "Conflict")
    assert "others own fields of job/default/contested: spec.backoffLimit" in report["message"].replace(".spec", "spec")
    assert "force-conflicts" in report["message"]
    assert daemon.get(JOB, "contested")["spec"]["backoffLimit"] == 1
    with pytest.raises(Conflict):
        daemon.apply("contested", backoffLimit=3)
    billing("DELETE FROM manifests WHERE name = 'contested'")


def test_what_was_changed_by_hand_stays_until_its_manifest_insists(daemon):
    daemon.write("byhand.yaml", yaml.safe_dump(a_manifest("byhand", suspend=True, backoffLimit=1)))
    daemon.until("it is there", lambda: daemon.get(JOB, "byhand"))

    daemon.client.merge_patch(JOB, "default", "byhand", {"spec": {"backoffLimit": 5}})

    daemon.write("byhand.yaml", yaml.safe_dump(a_manifest("byhand", suspend=True, backoffLimit=3)))
    assert "spec.backoffLimit" in daemon.report_of("byhand.yaml", "Conflict")["message"]
    assert daemon.get(JOB, "byhand")["spec"]["backoffLimit"] == 5
    forced = a_manifest("byhand", suspend=True, backoffLimit=3, annotations={"runwright.dev/force-conflicts": "true"})
    daemon.write("byhand.yaml", yaml.safe_dump(forced))
    daemon.until("forced", lambda: daemon.get(JOB, "byhand")["spec"]["backoffLimit"] == 3)


def test_an_object_that_two_sources_declare_goes_with_the_last(daemon, billing):
    manifest = a_manifest("both", suspend=True)
    daemon.write("both.yaml", yaml.safe_dump(manifest))
    insert(billing, "both", manifest)
    for manager in ("manifests/directory", "manifests/inbox/billing"):
        daemon.until("owned", lambda m=manager: (j := daemon.get(JOB, "both")) and manager_of(j, m))
    uid = daemon.get(JOB, "both")["metadata"]["uid"]

    daemon.remove("both.yaml")
    daemon.until("let go of", lambda: not manager_of(daemon.get(JOB, "both"), "manifests/directory"))
    kept = daemon.get(JOB, "both")["metadata"]["uid"]
    billing("DELETE FROM manifests WHERE name = 'both'")
    daemon.gone("both", 5)

    assert kept == uid


def test_deleting_an_object_that_a_manifest_declares_makes_it_anew(daemon):
    daemon.write("phoenix.yaml", yaml.safe_dump(a_manifest("phoenix", suspend=True)))
    first = daemon.until("it is there", lambda: daemon.get(JOB, "phoenix"))["metadata"]["uid"]

    daemon.delete("phoenix")
    daemon.write("phoenix.yaml", yaml.safe_dump(a_manifest("phoenix", suspend=True, backoffLimit=1)))

    again = daemon.until(
        "it is there again", lambda: (j := daemon.get(JOB, "phoenix")) and j["metadata"]["uid"] != first and j
    )
    assert again["spec"]["backoffLimit"] == 1


# What pruning takes, and what it leaves


@pytest.mark.invariant("M1")
def test_a_directory_that_cannot_be_read_prunes_nothing(daemon):
    daemon.write("kept.yaml", yaml.safe_dump(a_manifest("kept", suspend=True)))
    uid = daemon.until("it is there", lambda: daemon.get(JOB, "kept"))["metadata"]["uid"]
    pruned = daemon.metric("runwright_manifests_pruned_total", source="directory")
    aside = daemon.manifests.with_name("elsewhere")

    daemon.manifests.rename(aside)
    daemon.report_of("*", "Unreadable")
    daemon.until("looked at again", _time_passes(2.5), 5)
    survived = daemon.get(JOB, "kept").get("metadata", {}).get("uid")
    aside.rename(daemon.manifests)

    daemon.until("readable again", lambda: not [r for r in daemon.reports() if r["state"] == "Unreadable"], 10)
    assert survived == uid
    assert daemon.get(JOB, "kept")["metadata"]["uid"] == uid
    assert daemon.metric("runwright_manifests_pruned_total", source="directory") == pruned


@pytest.mark.invariant("M1")
def test_an_inbox_that_is_broken_prunes_nothing_and_goes_on_when_it_is_mended(daemon, tmp_path):
    inbox = daemon.root / "var/lib/runwright/inbox.db"
    with sqlite3.connect(inbox) as connection:
        connection.execute(
            "INSERT INTO manifests (source, name, document) VALUES ('other', 'safe', ?)",
            (json.dumps(a_manifest("safe", suspend=True)),),
        )
        connection.commit()
        uid = daemon.until("it is there", lambda: daemon.get(JOB, "safe"))["metadata"]["uid"]
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    good = tmp_path / "good.db"

    inbox.rename(good)
    inbox.write_bytes(b"SQLite format 3\0" + b"x" * 8000)
    report = daemon.report_of("*", "Unreadable")
    survived = daemon.get(JOB, "safe").get("metadata", {}).get("uid")
    inbox.unlink()
    good.rename(inbox)

    daemon.until("readable again", lambda: not [r for r in daemon.reports() if r["state"] == "Unreadable"], 10)
    assert str(inbox) in report["message"]
    assert "nothing that came from it is touched" in report["message"]
    assert survived == uid
    assert daemon.get(JOB, "safe")["metadata"]["uid"] == uid
    with sqlite3.connect(inbox) as connection:
        connection.execute("DELETE FROM manifests WHERE source = 'other'")
    connection.close()
    daemon.gone("safe", 5)


@pytest.mark.invariant("M2")
def test_a_manifest_that_breaks_leaves_its_last_good_version_alone(daemon):
    daemon.write("breaks.yaml", yaml.safe_dump(a_manifest("breaks", suspend=True, backoffLimit=4)))
    uid = daemon.until("it is there", lambda: daemon.get(JOB, "breaks"))["metadata"]["uid"]

    daemon.write("breaks.yaml", "apiVersion: runwright.dev/v1alpha1\nkind: Job\nmetadata: {name: breaks\nspec: [")
    broken = daemon.report_of("breaks.yaml", "Invalid")
    job = daemon.get(JOB, "breaks")

    assert "breaks.yaml:4:" in broken["message"]
    assert (job["metadata"]["uid"], job["spec"]["backoffLimit"]) == (uid, 4)
    daemon.remove("breaks.yaml")
    daemon.gone("breaks", 6)


def test_moving_a_job_from_one_file_to_another_keeps_the_object(daemon):
    manifest = a_manifest("moved", suspend=True)
    daemon.write("from.yaml", yaml.safe_dump(manifest))
    uid = daemon.until("it is there", lambda: daemon.get(JOB, "moved"))["metadata"]["uid"]

    (daemon.manifests / "from.yaml").rename(daemon.manifests / "to.yaml")

    daemon.report_of("to.yaml", "Applied")
    daemon.until("some time has passed", _time_passes(1.5), 5)
    assert daemon.get(JOB, "moved")["metadata"]["uid"] == uid


def test_a_swap_of_symbolic_links_as_kubernetes_does_it_changes_and_prunes(daemon):
    """A ConfigMap's volume: ..data points to the directory that counts, files point through it."""
    volume = daemon.manifests / "volume"
    volume.mkdir()
    for generation, names in (("..1", ("cm-a", "cm-b")), ("..2", ("cm-a", "cm-c"))):
        (volume / generation).mkdir()
        for name in names:
            limit = int(generation[2:])
            (volume / generation / f"{name}.yaml").write_text(
                yaml.safe_dump(a_manifest(name, suspend=True, backoffLimit=limit))
            )
    (volume / "..data").symlink_to("..1")
    for name in ("cm-a", "cm-b"):
        (volume / f"{name}.yaml").symlink_to(f"..data/{name}.yaml")
    for name in ("cm-a", "cm-b"):
        daemon.until("it is there", lambda name=name: daemon.get(JOB, name))

    (volume / "..data.new").symlink_to("..2")
    (volume / "..data.new").rename(volume / "..data")
    (volume / "cm-c.yaml").symlink_to("..data/cm-c.yaml")
    (volume / "cm-b.yaml").unlink()

    daemon.until("changed", lambda: daemon.get(JOB, "cm-a")["spec"]["backoffLimit"] == 2)
    daemon.until("new", lambda: daemon.get(JOB, "cm-c"))
    daemon.gone("cm-b", 6)
    assert daemon.get(JOB, "cm-a")["spec"]["backoffLimit"] == 2


def _time_passes(seconds):
    begin = time.monotonic()
    return lambda: time.monotonic() - begin >= seconds
