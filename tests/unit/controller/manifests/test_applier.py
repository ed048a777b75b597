"""The directory's manifests in a real store, through the real verbs; the loop is stepped by hand."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from api import crd, kinds
from api.meta import ObjectKey
from api.objects.verbs import Verbs, WriteOptions
from controller.daemon.runtime_requests import RuntimeRequests
from controller.engine.recorder import Recorder
from controller.manifests.loop import ManifestsLoop
from state.store import Store
from support.declared import undeclared
from support.hand_clock import HandClock
from support.manifests import a_manifest, put, put_fresh

JOB = kinds.JOB
BY_HAND = WriteOptions("kubectl", force=True)


def job(store: Store, name: str = "etl") -> dict[str, Any] | None:
    return store.get(ObjectKey("Job", "default", name))


def memory(store: Store, name: str = "etl") -> str:
    return job(store, name)["spec"]["resources"]["limits"]["memory"]


def states(loop: ManifestsLoop) -> list[tuple[str, str, str]]:
    return [(r["file"], r["object"], r["state"]) for r in loop.reports.reports()]


def messages(loop: ManifestsLoop) -> list[str]:
    return [r["message"] for r in loop.reports.reports() if r["message"]]


def free(store: Store, name: str = "etl") -> None:
    """Do what the job's controller does at its end: let the object go."""
    document = job(store, name)
    store.update(document | {"metadata": document["metadata"] | {"finalizers": []}})


def woken(loop: ManifestsLoop) -> float:
    return loop.step(is_woken=True)


def prune(loop: ManifestsLoop, clock: HandClock) -> None:
    woken(loop)
    clock.advance(1.0)
    woken(loop)


def is_deleting(store: Store, name: str = "etl") -> bool:
    return "deletionTimestamp" in job(store, name)["metadata"]


def apply_by_hand(verbs: Verbs, manager: str, **spec: Any) -> None:
    document = {"apiVersion": JOB.api_version, "kind": "Job", "metadata": {"name": "etl"}, "spec": spec}
    verbs.apply(JOB, "default", "etl", document, WriteOptions(manager, force=True))


def test_a_file_becomes_an_object_that_says_where_it_came_from(loop: ManifestsLoop, root: Path, store: Store):
    put(root / "sub" / "etl.yaml", a_manifest())

    woken(loop)

    assert job(store)["metadata"]["annotations"] == {"manifests.runwright.dev/directory": "sub/etl.yaml"}
    assert [entry["manager"] for entry in job(store)["metadata"]["managedFields"]] == ["manifests/directory"]
    assert states(loop) == [("sub/etl.yaml", "job/default/etl", "Applied")]
    assert loop.is_synced()


def test_an_edited_file_takes_effect_and_an_unchanged_one_writes_nothing(
    loop: ManifestsLoop, root: Path, store: Store, clock: HandClock
):
    put(root / "etl.yaml", a_manifest(memory="64Mi"))
    woken(loop)
    revision = store.revision()
    clock.advance(31)
    woken(loop)
    assert store.revision() == revision

    put(root / "etl.yaml", a_manifest(memory="128Mi"))
    woken(loop)

    assert (memory(store), job(store)["metadata"]["generation"]) == ("128Mi", 2)


def test_a_removed_file_takes_its_object_with_it_after_a_second(
    loop: ManifestsLoop, root: Path, store: Store, clock: HandClock
):
    put(root / "etl.yaml", a_manifest())
    put(root / "other.yaml", a_manifest("other"))
    woken(loop)

    (root / "etl.yaml").unlink()
    wait = woken(loop)
    early = is_deleting(store)
    clock.advance(1.0)
    loop.step()

    assert (early, wait) == (False, 1.0)
    assert is_deleting(store)
    assert not is_deleting(store, "other")


def test_a_file_that_comes_back_within_a_second_costs_its_object_nothing(
    loop: ManifestsLoop, root: Path, store: Store, clock: HandClock
):
    put(root / "etl.yaml", a_manifest())
    woken(loop)
    uid = job(store)["metadata"]["uid"]

    (root / "etl.yaml").unlink()
    woken(loop)
    clock.advance(0.9)
    put(root / "etl.yaml", a_manifest(memory="128Mi"))
    woken(loop)
    clock.advance(5)
    woken(loop)

    assert (job(store)["metadata"]["uid"], memory(store), is_deleting(store)) == (uid, "128Mi", False)


def test_a_document_that_leaves_its_file_is_pruned_and_one_that_moves_is_not(
    loop: ManifestsLoop, root: Path, store: Store, clock: HandClock
):
    put(root / "a.yaml", a_manifest("stays") + "\n---\n" + a_manifest("moves") + "\n---\n" + a_manifest("goes"))
    woken(loop)

    put(root / "a.yaml", a_manifest("stays"))
    put(root / "b.yaml", a_manifest("moves"))
    prune(loop, clock)

    assert [is_deleting(store, name) for name in ("stays", "moves", "goes")] == [False, False, True]
    assert job(store, "moves")["metadata"]["annotations"]["manifests.runwright.dev/directory"] == "b.yaml"


def test_an_invalid_manifest_is_reported_by_file_and_line_and_the_last_good_version_stays(
    loop: ManifestsLoop, root: Path, store: Store, clock: HandClock, recorder: Recorder
):
    put(root / "etl.yaml", a_manifest(memory="64Mi"))
    woken(loop)

    put(root / "etl.yaml", a_manifest(memory="64mb"))
    prune(loop, clock)
    recorder.flush()

    assert memory(store) == "64Mi"
    assert not is_deleting(store)
    [message] = messages(loop)
    assert message.startswith("etl.yaml:9: spec.resources.limits.memory: ")
    [event] = store.list("Event").items
    assert (event["reason"], event["type"], event["involvedObject"]["name"]) == ("InvalidManifest", "Warning", "etl")
    assert event["message"] == message


def test_all_that_is_wrong_is_said_at_once(loop: ManifestsLoop, root: Path):
    put(root / "etl.yaml", a_manifest(memory="64mb", extra="      cpu: lots\n  backoffLimit: -1\n"))

    woken(loop)

    [message] = messages(loop)
    assert [part.split(": ")[0:2] for part in message.split("; ")] == [
        ["etl.yaml:9", "spec.resources.limits.memory"],
        ["etl.yaml:10", "spec.resources.limits.cpu"],
        ["etl.yaml:11", "spec.backoffLimit"],
    ]


def test_a_misspelt_field_is_an_error_and_not_a_limit_that_is_silently_dropped(
    loop: ManifestsLoop, root: Path, store: Store
):
    put(root / "etl.yaml", a_manifest(extra="      memroy: 32Mi\n"))

    woken(loop)

    assert messages(loop) == ["etl.yaml:10: spec.resources.limits.memroy: unknown field: did you mean memory?"]
    assert job(store) is None


@pytest.mark.invariant("A7")
@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", '""', '"../jobs/kept"', '".."', '"kept?x"', '"kept#x"', '"%6bept"', '"kept\\n"', '"kept\\0"'],
)
def test_a_name_that_leaves_its_place_is_refused_and_reaches_no_other(
    loop: ManifestsLoop, root: Path, store: Store, name: str
):
    put(root / "kept.yaml", a_manifest("kept"))
    woken(loop)
    before = store.list("Job").items

    put(root / "etl.yaml", a_manifest(name))
    woken(loop)

    [message] = messages(loop)
    assert message.startswith("etl.yaml:4: metadata.name: ")
    assert store.list("Job").items == before


def test_a_broken_file_is_reported_its_objects_stay_and_others_are_pruned(
    loop: ManifestsLoop, root: Path, store: Store, clock: HandClock, recorder: Recorder
):
    put(root / "broken.yaml", a_manifest("kept"))
    put(root / "gone.yaml", a_manifest("gone"))
    woken(loop)

    put(root / "broken.yaml", "kind: Job\n\tmetadata:")
    (root / "gone.yaml").unlink()
    prune(loop, clock)
    recorder.flush()

    assert (is_deleting(store, "kept"), is_deleting(store, "gone")) == (False, True)
    assert messages(loop) == ["broken.yaml:2:1: a tab in the indentation: use spaces"]
    [event] = store.list("Event").items
    assert (event["involvedObject"]["kind"], event["involvedObject"]["name"]) == ("Manifest", "directory/broken.yaml")
    assert event["metadata"]["namespace"] == "default"
    assert "/" not in event["metadata"]["name"]


def test_what_was_broken_before_a_restart_keeps_its_objects_after_it(
    root: Path, store: Store, verbs: Verbs, recorder: Recorder, clock: HandClock
):
    from controller.manifests.directory import DirectoryFeed

    def a_new_loop() -> ManifestsLoop:
        return ManifestsLoop.over([DirectoryFeed(root, clock)], verbs, store, recorder, clock, CollectorRegistry())

    put(root / "etl.yaml", a_manifest())
    put(root / "gone.yaml", a_manifest("gone"))
    woken(a_new_loop())
    put(root / "etl.yaml", "kind: [")
    (root / "gone.yaml").unlink()

    prune(a_new_loop(), clock)

    assert (is_deleting(store, "etl"), is_deleting(store, "gone")) == (False, True)


@pytest.mark.parametrize("writing", ["create", "apply"])
def test_an_object_with_a_copied_annotation_is_not_the_sources_to_prune(
    root: Path, store: Store, verbs: Verbs, recorder: Recorder, clock: HandClock, writing: str
):
    from controller.manifests.directory import DirectoryFeed

    copied = {"manifests.runwright.dev/directory": "gone.yaml", "manifests.runwright.dev/inbox.billing": "7"}
    metadata = {"name": "etl", "annotations": copied}
    document = {"apiVersion": JOB.api_version, "kind": "Job", "metadata": metadata, "spec": {"command": ["true"]}}
    if writing == "create":
        verbs.create(JOB, "default", document, BY_HAND)
    else:
        verbs.apply(JOB, "default", "etl", document, BY_HAND)
    put(root / "other.yaml", a_manifest("other"))
    before = job(store)

    loop = ManifestsLoop.over([DirectoryFeed(root, clock)], verbs, store, recorder, clock, CollectorRegistry())
    prune(loop, clock)

    assert job(store, "other") is not None
    assert job(store) == before


def test_a_directory_that_cannot_be_read_prunes_nothing_and_says_so(
    loop: ManifestsLoop, root: Path, store: Store, clock: HandClock
):
    put(root / "etl.yaml", a_manifest())
    woken(loop)

    root.rename(root.with_name("away"))
    prune(loop, clock)

    assert not is_deleting(store)
    assert states(loop) == [("*", "", "Unreadable"), ("etl.yaml", "job/default/etl", "Applied")]
    assert "No such file or directory: make it; nothing is pruned" in messages(loop)[0]

    root.with_name("away").rename(root)
    prune(loop, clock)

    assert states(loop) == [("etl.yaml", "job/default/etl", "Applied")]


def test_while_any_file_cannot_be_read_nothing_is_pruned(
    loop: ManifestsLoop, root: Path, store: Store, clock: HandClock
):
    put(root / "etl.yaml", a_manifest())
    woken(loop)

    (root / "etl.yaml").unlink()
    (root / "link.yaml").symlink_to("nowhere")
    prune(loop, clock)
    kept = is_deleting(store)
    (root / "link.yaml").unlink()
    prune(loop, clock)

    assert (kept, is_deleting(store)) == (False, True)


def test_while_a_new_file_is_written_nothing_is_pruned(loop: ManifestsLoop, root: Path, store: Store, clock: HandClock):
    put(root / "etl.yaml", a_manifest())
    woken(loop)

    (root / "etl.yaml").unlink()
    for number in range(4):
        put_fresh(root / "new.yaml", a_manifest(command="x" * number))
        clock.advance(0.6)
        woken(loop)

    assert not is_deleting(store)


def test_fields_of_others_are_left_alone(loop: ManifestsLoop, root: Path, store: Store, verbs: Verbs):
    put(root / "etl.yaml", a_manifest())
    woken(loop)
    apply_by_hand(verbs, "kubectl", backoffLimit=3)

    put(root / "etl.yaml", a_manifest(memory="128Mi"))
    woken(loop)

    assert (job(store)["spec"]["backoffLimit"], memory(store)) == (3, "128Mi")


def test_a_field_that_somebody_else_took_is_a_conflict_until_it_is_taken_back(
    loop: ManifestsLoop, root: Path, store: Store, verbs: Verbs, clock: HandClock
):
    put(root / "etl.yaml", a_manifest(memory="64Mi"))
    woken(loop)
    apply_by_hand(verbs, "alice", resources={"limits": {"memory": "96Mi"}})

    clock.advance(31)
    woken(loop)
    in_conflict = (states(loop), memory(store), messages(loop))
    forced = a_manifest(memory="64Mi").replace(
        "  name: etl", '  name: etl\n  annotations: {runwright.dev/force-conflicts: "true"}'
    )
    put(root / "etl.yaml", forced)
    woken(loop)

    assert in_conflict[:2] == ([("etl.yaml", "job/default/etl", "Conflict")], "96Mi")
    assert in_conflict[2] == [
        'etl.yaml:1: others own fields of job/default/etl: .spec.resources.limits.memory (conflict with "alice"): '
        'leave that to them, or take it over with the annotation runwright.dev/force-conflicts: "true"'
    ]
    assert (states(loop), memory(store)) == ([("etl.yaml", "job/default/etl", "Applied")], "64Mi")


def test_an_object_that_somebody_else_applies_too_is_let_go_of_and_not_deleted(
    loop: ManifestsLoop, root: Path, store: Store, verbs: Verbs, clock: HandClock
):
    put(root / "etl.yaml", a_manifest(memory="64Mi"))
    woken(loop)
    apply_by_hand(verbs, "alice", command=["true"], backoffLimit=2)

    (root / "etl.yaml").unlink()
    prune(loop, clock)

    assert not is_deleting(store)
    assert job(store)["spec"] == {"command": ["true"], "backoffLimit": 2}
    assert "annotations" not in job(store)["metadata"]


def test_what_somebody_deletes_though_it_is_declared_is_made_again(
    loop: ManifestsLoop, root: Path, store: Store, verbs: Verbs, clock: HandClock
):
    put(root / "etl.yaml", a_manifest())
    woken(loop)
    verbs.delete(JOB, "default", "etl")
    clock.advance(30)

    woken(loop)
    waiting = states(loop)
    free(store)
    clock.advance(0.25)
    loop.step()

    assert waiting == [("etl.yaml", "job/default/etl", "Pending")]
    assert states(loop) == [("etl.yaml", "job/default/etl", "Applied")]
    assert not is_deleting(store)


def test_an_object_whose_namespace_comes_later_is_made_when_it_has_come(loop: ManifestsLoop, root: Path, store: Store):
    put(root / "etl.yaml", a_manifest().replace("  name: etl", "  name: etl\n  namespace: later"))
    woken(loop)
    first = states(loop)

    put(root / "namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: later}\n")
    woken(loop)

    assert first == [("etl.yaml", "job/later/etl", "Invalid")]
    assert store.get(ObjectKey("Job", "later", "etl")) is not None


def test_an_object_without_any_field_is_pruned_too(loop: ManifestsLoop, root: Path, store: Store, clock: HandClock):
    put(root / "namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: bare}\n")
    woken(loop)
    assert store.get(ObjectKey("Namespace", "", "bare")) is not None

    (root / "namespace.yaml").unlink()
    prune(loop, clock)

    assert store.get(ObjectKey("Namespace", "", "bare")) is None


def test_what_cannot_be_pruned_is_reported(loop: ManifestsLoop, root: Path, store: Store, clock: HandClock):
    put(root / "namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n")
    woken(loop)

    (root / "namespace.yaml").unlink()
    prune(loop, clock)

    assert states(loop) == [("namespace.yaml", "namespace/default", "Conflict")]
    assert messages(loop)[0].startswith("namespace.yaml: cannot prune namespace/default: ")


def test_metrics_tell_how_many_manifests_are_in_which_state(
    loop: ManifestsLoop, root: Path, clock: HandClock, registry: CollectorRegistry
):
    put(root / "a.yaml", a_manifest("a"))
    put(root / "b.yaml", a_manifest("b"))
    put(root / "c.yaml", "kind: [")
    woken(loop)
    (root / "b.yaml").unlink()
    prune(loop, clock)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"source": "directory", **labels})

    assert value("runwright_manifests", state="Applied") == 1.0
    assert value("runwright_manifests", state="Invalid") == 1.0
    assert value("runwright_manifests", state="Conflict") == 0.0
    assert value("runwright_manifests_invalid_total") == 1.0
    assert value("runwright_manifests_pruned_total") == 1.0


def test_a_report_keeps_the_time_since_when_it_reads_as_it_does(loop: ManifestsLoop, root: Path, clock: HandClock):
    put(root / "a.yaml", "kind: [")
    woken(loop)
    [first] = loop.reports.reports()
    assert list(undeclared(crd.schema_of(kinds.MANIFEST), first)) == []
    clock.advance(60)
    woken(loop)

    assert loop.reports.reports() == [first]
    assert first["since"] == "2026-01-02T03:04:05Z"


def test_the_same_mistake_is_one_event_however_often_it_is_looked_at(
    loop: ManifestsLoop, root: Path, store: Store, clock: HandClock, recorder: Recorder
):
    put(root / "a.yaml", "kind: [")
    for _ in range(5):
        woken(loop)
        clock.advance(60)
    recorder.flush()

    assert [event["count"] for event in store.list("Event").items] == [1]


@pytest.mark.parametrize(
    "content",
    [b"\x00\x01\x02\xff" * 100, b"", b"\n", b"[" * 10_000, b"\xff\xfe"],
    ids=["junk", "empty", "blank", "deep", "utf16"],
)
def test_junk_disturbs_nothing_else(loop: ManifestsLoop, root: Path, store: Store, clock: HandClock, content: bytes):
    put(root / "etl.yaml", a_manifest())
    put(root / "junk.yaml", content)

    prune(loop, clock)

    assert ("etl.yaml", "job/default/etl", "Applied") in states(loop)
    assert not is_deleting(store)


@pytest.mark.invariant("I34")
@pytest.mark.parametrize("asks_first", [True, False])
def test_a_runtime_that_a_job_asks_for_may_be_declared_before_or_after(
    loop: ManifestsLoop, root: Path, store: Store, verbs: Verbs, *, asks_first: bool
):
    requests = RuntimeRequests(verbs, store)
    made = (
        f"kind: Runtime\napiVersion: {JOB.api_version}\nmetadata: {{name: tiny}}\nspec: {{build: {{run: ['true']}}}}\n"
    )
    put(root / "tiny.yaml", made)
    for ask in (asks_first, not asks_first):
        if ask:
            requests.request("tiny", "latest")
        else:
            woken(loop)

    assert states(loop) == [("tiny.yaml", "runtime/tiny", "Applied")]
    assert store.get(ObjectKey("Runtime", "", "tiny"))["spec"] == {"build": {"run": ["true"]}}
