"""Manifests that are torn, huge, hostile or nonsense: each told with its file and line, and nobody else disturbed."""

import json
import os
import random
import shutil
import sqlite3
import threading

import pytest
import yaml

from api.kinds import EVENT, JOB
from support import host
from support.daemon import Daemon, a_daemon, a_manifest

pytestmark = pytest.mark.needs_root

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(97 + n)}: &{chr(97 + n)} [{', '.join([f'*{chr(96 + n)}'] * 10)}]\n" for n in range(1, 12)
)
GOOD = 'apiVersion: runwright.dev/v1alpha1\nkind: Job\nmetadata: {{name: {name}}}\nspec: {{command: ["true"], suspend: true}}\n'


@pytest.fixture(scope="module")
def daemon():
    before = host.snapshot()
    with a_daemon("jobs.workers=8") as daemon:
        daemon.write("bystander.yaml", yaml.safe_dump(a_manifest("bystander", command=["sleep", "600"])))
        daemon.running("bystander")
        yield daemon
    host.assert_as_before(before)


@pytest.fixture(autouse=True)
def bystander(daemon):
    """Whatever a test throws at the daemon: this job goes on as the same object, in the same run."""
    before = daemon.get(JOB, "bystander")
    yield
    after = daemon.get(JOB, "bystander")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert after["status"]["runs"] == before["status"]["runs"]
    assert "bug" not in daemon.log.read_text()
    assert "Traceback" not in daemon.log.read_text()


HOSTILE = {
    "torn": (GOOD.format(name="torn")[:-20], "torn.yaml:4:", "expected"),
    "bomb": (BOMB, "bomb.yaml:", "aliases"),
    "binary": (random.Random(1).randbytes(5000), "binary.yaml:1:1", ""),
    "nul": (b"kind: Job\0\n", "nul.yaml:1:", ""),
    "latin": ("kind: Jöb\n".encode("latin-1"), "latin.yaml:1:", "UTF-8"),
    "utf16": ("kind: Job\n".encode("utf-16"), "utf16.yaml:1:", "UTF-8"),
    "large": (b"# " + b"x" * 10_000_000, "large.yaml", "split it"),
    "deep": ("[" * 5000, "deep.yaml:1:", "deep"),
    "deepjson": ('{"a":' * 5000, "deepjson.yaml:1:", ""),
    "twice": (GOOD.format(name="twice") + "kind: Job\n", "twice.yaml:5:1", "kind"),
    "python": ("!!python/object/apply:os.system ['touch /tmp/owned']\n", "python.yaml:1:1", "tag"),
    "list": ("- 1\n- 2\n", "list.yaml:1", ""),
    "number": ("42\n", "number.yaml:1", ""),
    "tabs": ("kind:\tJob\nmetadata:\n\tname: x\n", "tabs.yaml:3:", ""),
    "traversal": (GOOD.format(name="../../etc/passwd"), "traversal.yaml:3", "metadata.name"),
    "slash": (GOOD.format(name='"a/b"'), "slash.yaml:3", "metadata.name"),
    "nameless": ("apiVersion: runwright.dev/v1alpha1\nkind: Job\nspec: {command: [x]}\n", "nameless.yaml:1", "name"),
    "longname": (GOOD.format(name="x" * 300), "longname.yaml:3", "metadata.name"),
    "kind": ("apiVersion: runwright.dev/v1alpha1\nkind: Bomb\nmetadata: {name: x}\n", "kind.yaml:2", "Bomb"),
    "version": ("apiVersion: runwright.dev/v9\nkind: Job\nmetadata: {name: x}\n", "version.yaml:2", "v9"),
    "event": ("apiVersion: v1\nkind: Event\nmetadata: {name: x}\n", "event.yaml:2", "events are recorded"),
    "pod": ("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n", "pod.yaml:2", "Pod"),
    "uid": (
        "apiVersion: runwright.dev/v1alpha1\nkind: Job\n"
        "metadata: {name: uid, managedFields: [{manager: root}]}\nspec: {command: [x]}\n",
        "uid.yaml:",
        "managedFields",
    ),
    "causes": (
        "apiVersion: runwright.dev/v1alpha1\nkind: Job\nmetadata: {name: causes}\nspec:\n"
        "  command: 7\n  backoffLimit: -1\n  env: [{name: JOB_ID}]\n",
        "causes.yaml:5: spec.command",
        "causes.yaml:6: spec.backoffLimit",
    ),
}


@pytest.fixture(scope="module")
def thrown(daemon):
    """All of them, dropped at once."""
    for name, (content, _, _) in HOSTILE.items():
        put(daemon, f"{name}.yaml", content)
    for name in HOSTILE:
        daemon.report_of(f"{name}.yaml", "Invalid")
    yield daemon
    for name in HOSTILE:
        daemon.remove(f"{name}.yaml")
    files = {f"{name}.yaml" for name in HOSTILE}
    daemon.until("forgotten", lambda: not [r for r in daemon.reports() if r["file"] in files], 10)


@pytest.mark.invariant("M2")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_manifest_is_told_with_its_file_and_line(thrown, name):
    _, place, what = HOSTILE[name]
    file = f"{name}.yaml"

    report = thrown.report_of(file, "Invalid")

    assert report["message"].startswith(place), report["message"]
    assert what in report["message"], report["message"]
    assert len(report["message"]) < 2000
    assert thrown.until("an event tells of it", lambda: told(thrown, file))


def test_hostile_manifests_are_counted_and_listed(thrown):
    assert thrown.metric("runwright_manifests_invalid_total", source="directory") == len(HOSTILE)
    assert thrown.metric("runwright_manifests", source="directory", state="Invalid") == len(HOSTILE)
    listed = thrown.rnx("get", "manifests").stdout
    assert [name for name in HOSTILE if f"{name}.yaml" not in listed] == []


def test_nothing_in_a_manifest_is_executed(thrown):
    assert not os.path.exists("/tmp/owned")


@pytest.mark.invariant("M2")
def test_a_good_document_beside_a_bad_one_in_the_same_file_is_applied(daemon):
    text = GOOD.format(name="good-one") + "---\nkind: Nothing\n---\n" + GOOD.format(name="good-two")

    daemon.write("mixed.yaml", text)

    for name in ("good-one", "good-two"):
        daemon.until("it is there", lambda name=name: daemon.get(JOB, name))
    report = daemon.report_of("mixed.yaml", "Invalid")
    assert report["message"].startswith("mixed.yaml:6")
    daemon.remove("mixed.yaml")
    daemon.gone("good-one", 8)


def test_the_same_object_twice_is_told_at_the_second_place(daemon):
    daemon.write("double.yaml", GOOD.format(name="double") + "---\n" + GOOD.format(name="double"))

    report = daemon.report_of("double.yaml", "Invalid")

    assert report["line"] in (6, 7, 8), report
    assert "double.yaml:1" in report["message"]
    daemon.remove("double.yaml")


def test_symbolic_links_in_a_circle_and_to_nowhere_and_devices_do_no_harm(daemon, tmp_path):
    circle = daemon.manifests / "circle"
    circle.mkdir()
    (circle / "again").symlink_to("..")
    (circle / "self.yaml").symlink_to("self.yaml")
    (circle / "nowhere.yaml").symlink_to("/no/such/file.yaml")
    (circle / "zero.yaml").symlink_to("/dev/zero")
    os.mkfifo(circle / "pipe.yaml")
    (circle / "in.yaml").write_text(GOOD.format(name="in-the-circle"))

    daemon.until("it is there", lambda: daemon.get(JOB, "in-the-circle"))
    daemon.report_of("circle/in.yaml", "Applied")
    unreadable = daemon.report_of("circle/nowhere.yaml", "Unreadable")

    assert "No such file" in unreadable["message"]
    states = {report["file"]: report["state"] for report in daemon.reports()}
    applied = [file for file, state in states.items() if file.startswith("circle/") and state == "Applied"]
    assert applied == ["circle/in.yaml"]
    shutil.rmtree(circle)
    daemon.gone("in-the-circle", 8)


def test_what_editors_leave_behind_is_not_read(daemon):
    for name in (".hidden.yaml", "file.yaml~", "#file.yaml#", ".file.yaml.swp", "file.yaml.bak", "README.md"):
        (daemon.manifests / name).write_text("not: [a manifest")
    daemon.write("marker.yaml", GOOD.format(name="marker"))

    daemon.until("it is there", lambda: daemon.get(JOB, "marker"))

    assert {r["file"] for r in daemon.reports() if r["state"] != "Applied"} <= {f"{name}.yaml" for name in HOSTILE}


def test_a_file_that_is_written_in_pieces_is_taken_whole(daemon):
    text = GOOD.format(name="pieces").encode() + b"# end\n" * 50
    invalid = daemon.metric("runwright_manifests_invalid_total", source="directory")
    with (daemon.manifests / "pieces.yaml").open("wb", buffering=0) as file:
        pause = threading.Event()
        for at in range(0, len(text), 40):
            file.write(text[at : at + 40])
            pause.wait(0.05)
            assert not [r for r in daemon.reports() if r["file"] == "pieces.yaml" and r["state"] != "Applied"]

    daemon.until("it is there", lambda: daemon.get(JOB, "pieces"))
    assert daemon.metric("runwright_manifests_invalid_total", source="directory") == invalid


def test_hostile_rows_in_the_inbox_are_told_too(daemon):
    rows = [
        ("hostile", "junk", b"\xff\xfe\x00", "UTF-8"),
        ("hostile", "huge", b"# " + b"x" * 10_000_000, "split it"),
        ("hostile", "../../name", b"kind: [", "hostile/../../name:2:1:"),
        ("no name!", "x", b"kind: Job", "is no name"),
    ]
    inbox = sqlite3.connect(daemon.root / "var/lib/runwright/inbox.db", isolation_level=None)
    for source, name, document, _ in rows:
        inbox.execute("INSERT INTO manifests (source, name, document) VALUES (?, ?, ?)", (source, name, document))

    for _, name, _, what in rows:
        report = daemon.report_of(name, "Invalid")
        assert what in report["message"], report["message"]
    inbox.execute("DELETE FROM manifests")
    inbox.close()
    daemon.until("forgotten", lambda: not [r for r in daemon.reports() if r["source"].startswith("inbox")])


def test_a_thousand_files_at_once_are_applied_and_pruned(daemon):
    """In one directory, a link swap away from each other: all at the same moment."""
    names = {f"mass-{number:04}" for number in range(1000)}
    aside = daemon.root / "thousand"
    aside.mkdir()
    for name in names:
        (aside / f"{name}.yaml").write_text(GOOD.format(name=name))

    aside.rename(daemon.manifests / "thousand")
    daemon.until("all are there", lambda: names <= daemon.jobs().keys(), 60, every=0.5)
    (daemon.manifests / "thousand").rename(aside)
    daemon.until("all are gone", lambda: not names & daemon.jobs().keys(), 60, every=0.5)

    assert "bystander" in daemon.jobs()


def put(daemon: Daemon, name, content):
    aside = daemon.manifests / f".{name}.new"
    aside.write_bytes(content if isinstance(content, bytes) else content.encode())
    aside.rename(daemon.manifests / name)


def told(daemon, file):
    events = daemon.client.list(EVENT)["items"]
    return [e for e in events if e["reason"] == "InvalidManifest" and file in json.dumps(e)]
