"""lightkube, which knows core kinds by their types and others by their names, against a real daemon."""

import asyncio
import gc
import itertools

import pytest
import yaml
from lightkube import ApiError, AsyncClient, Client, KubeConfig, codecs
from lightkube.core.exceptions import ConditionError
from lightkube.generic_resource import create_global_resource, create_namespaced_resource
from lightkube.models.core_v1 import Container
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.authorization_v1 import SelfSubjectAccessReview
from lightkube.resources.core_v1 import ConfigMap, Event, Namespace, Node, Pod, Secret
from lightkube.resources.rbac_authorization_v1 import ClusterRole
from lightkube.types import CascadeType, PatchType

from support.served import GROUP, VERSION, a_shell_job, a_space

pytestmark = pytest.mark.needs_root

Job = create_namespaced_resource(GROUP, VERSION, "Job", "jobs")
Runtime = create_global_resource(GROUP, VERSION, "Runtime", "runtimes")
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def client(kubeconfig):
    with Client(KubeConfig.from_file(str(kubeconfig)).get(), field_manager="lightkube") as client:
        yield client
    gc.collect()


@pytest.fixture
def space(served):
    return a_space(served, f"lightkube-{next(_numbers)}")


@pytest.fixture(scope="module")
def held(served, client):
    client.create(Job(a_shell_job("lk-held", "echo begun; exec sleep 1000")), namespace="default")
    served.printed("lk-held", "begun")
    return "lk-held-1"


def suspended(name, **fields):
    return Job(a_shell_job(name, "true", suspend=True, **fields))


def test_core_objects_are_typed(client, space):
    client.create(ConfigMap(metadata=ObjectMeta(name="settings", namespace=space), data={"a": "1"}))
    client.create(Secret(metadata=ObjectMeta(name="key", namespace=space), stringData={"k": "v"}))
    node = next(iter(client.list(Node)))

    assert client.get(ConfigMap, "settings", namespace=space).data == {"a": "1"}
    assert client.get(Secret, "key", namespace=space).data == {"k": "dg=="}
    assert client.get(Namespace, space).status.phase == "Active"
    assert node.status.capacity["cpu"]


def test_jobs_are_created_listed_and_deleted(client, space):
    made = client.create(suspended("etl", labels={"team": "data"}), namespace=space)
    client.create(suspended("other"), namespace=space)

    assert (made.metadata.generation, made.spec["suspend"]) == (1, True)
    assert [job.metadata.name for job in client.list(Job, namespace=space, labels={"team": "data"})] == ["etl"]
    client.delete(Job, "etl", namespace=space, cascade=CascadeType.FOREGROUND)
    client.deletecollection(Job, namespace=space)


def test_lists_come_in_chunks(client, space):
    for number in range(5):
        client.create(suspended(f"j{number}"), namespace=space)

    listing = client.list(Job, namespace=space, chunk_size=2)

    assert [job.metadata.name for job in listing] == [f"j{number}" for number in range(5)]
    assert listing.resourceVersion.isdecimal()


def test_refusals_carry_a_status(client, space):
    with pytest.raises(ApiError) as missing:
        client.get(Job, "none", namespace=space)
    with pytest.raises(ApiError) as invalid:
        client.create(suspended("x", backoffLimit=-1), namespace=space)

    assert (missing.value.status.code, missing.value.status.reason) == (404, "NotFound")
    assert (invalid.value.status.code, invalid.value.status.details.causes[0].field) == (422, "spec.backoffLimit")


@pytest.mark.parametrize(
    ("type_", "patch"),
    [
        (PatchType.MERGE, {"spec": {"backoffLimit": 3}}),
        (PatchType.JSON, [{"op": "replace", "path": "/spec/backoffLimit", "value": 3}]),
        (PatchType.APPLY, {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Job", "spec": {"backoffLimit": 3}}),
    ],
)
def test_jobs_are_patched(client, space, type_, patch):
    client.create(suspended("etl"), namespace=space)
    force = type_ is PatchType.APPLY

    changed = client.patch(Job, "etl", patch, namespace=space, patch_type=type_, force=force, field_manager="m")

    assert changed.spec["backoffLimit"] == 3


def test_jobs_are_applied_by_managers_who_conflict(client, space):
    client.apply(suspended("etl", backoffLimit=1), namespace=space, field_manager="one")
    with pytest.raises(ApiError) as conflict:
        client.apply(suspended("etl", backoffLimit=2), namespace=space, field_manager="two")
    forced = client.apply(suspended("etl", backoffLimit=2), namespace=space, field_manager="two", force=True)

    assert conflict.value.status.details.causes[0].reason == "FieldManagerConflict"
    assert forced.spec["backoffLimit"] == 2


def test_labels_and_annotations_are_set(client, space):
    client.create(suspended("etl"), namespace=space)
    changed = client.set(Job, "etl", namespace=space, labels={"a": "1"}, annotations={"b": "2"})

    assert (changed.metadata.labels, changed.metadata.annotations["b"]) == ({"a": "1"}, "2")


def test_what_was_read_is_replaced_unless_somebody_wrote_meanwhile(client, space):
    made = client.create(ConfigMap(metadata=ObjectMeta(name="m", namespace=space), data={"a": "1"}))
    made.data["a"] = "2"
    client.replace(made)

    with pytest.raises(ApiError) as stale:
        client.replace(made)
    assert stale.value.status.reason == "Conflict"


def test_manifests_with_kinds_of_ours_are_loaded_and_created(client, space):
    manifest = yaml.safe_dump_all(
        [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": space}},
            suspended("etl").to_dict() | {"metadata": {"name": "etl", "namespace": space}},
        ]
    )

    for each in codecs.load_all_yaml(manifest):
        client.create(each)

    assert client.get(Job, "etl", namespace=space).spec["suspend"]


def test_a_dry_run_stores_nothing(client, space):
    assert client.create(suspended("dry"), namespace=space, dry_run=True).metadata.uid
    assert list(client.list(Job, namespace=space)) == []


def test_a_watch_sees_what_is_there_and_each_change(client, space):
    client.create(suspended("etl"), namespace=space)
    seen = []

    for type_, job in client.watch(Job, namespace=space, server_timeout=20):
        seen.append((type_, job.metadata.name))
        if len(seen) == 1:
            client.delete(Job, "etl", namespace=space)
        if type_ == "DELETED":
            break

    assert (seen[0], seen[-1]) == (("ADDED", "etl"), ("DELETED", "etl"))


def test_a_condition_is_waited_for(client):
    client.create(Job(a_shell_job("quick", "true")), namespace="default")

    done = client.wait(Job, "quick", namespace="default", for_conditions=["Complete"], raise_for_conditions=["Failed"])

    assert done.status["phase"] == "Succeeded"
    client.create(Job(a_shell_job("bad", "exit 3")), namespace="default")
    with pytest.raises(ConditionError):
        client.wait(Job, "bad", namespace="default", for_conditions=["Complete"], raise_for_conditions=["Failed"])


def test_the_status_has_a_resource_of_its_own(client, space):
    client.create(suspended("etl"), namespace=space)
    condition = {"type": "Checked", "status": "True", "reason": "ByHand", "message": "seen"}
    patch = {"status": {"conditions": [condition]}}

    changed = client.patch(Job.Status, "etl", patch, namespace=space, patch_type=PatchType.MERGE)

    assert changed.status["conditions"][0]["type"] == "Checked"


def test_logs_are_read_and_followed(served, client):
    client.create(Job(a_shell_job("lk-lines", "for n in 1 2 3; do echo $n; sleep 0.1; done")), namespace="default")
    served.printed("lk-lines", "1")

    assert list(client.log("lk-lines-1", namespace="default", follow=True)) == ["1\n", "2\n", "3\n"]
    assert list(client.log("lk-lines-1", namespace="default", tail_lines=1, newlines=False)) == ["3"]
    assert list(client.log("lk-lines-1", namespace="default", since=3600))
    (stamped,) = client.log("lk-lines-1", namespace="default", tail_lines=1, timestamps=True)
    assert stamped.endswith("Z 3\n")


def test_a_command_is_executed(client, held):
    done = client.exec(
        held, namespace="default", command=["sh", "-c", "cat; echo err >&2; exit 3"], stdin="hello",
        stdout=True, stderr=True, timeout=20,
    )  # fmt: skip

    assert (done.stdout, done.stderr, done.exit_code) == ("hello", "err\n", 3)


def test_pods_are_typed(client, held):
    pod = client.get(Pod, held, namespace="default")

    assert (pod.status.phase, pod.metadata.ownerReferences[0].kind) == ("Running", "Job")
    assert isinstance(pod.spec.containers[0], Container)
    assert pod.status.containerStatuses[0].state.running.startedAt


def test_events_are_selected_by_their_object(served, client, held):
    fields = {"involvedObject.name": "lk-held", "involvedObject.kind": "Job"}

    assert served.until("there are events", lambda: list(client.list(Event, namespace="default", fields=fields)))


def test_reviews_and_roles_are_typed(client):
    review = client.create(
        SelfSubjectAccessReview.from_dict({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}})
    )

    assert review.status.allowed is True
    assert {"admin", "developer", "maintainer", "viewer"} <= {role.metadata.name for role in client.list(ClusterRole)}


async def _asynchronously(kubeconfig, space):
    async with AsyncClient(KubeConfig.from_file(str(kubeconfig)).get()) as client:
        await client.create(suspended("etl"), namespace=space)
        return [job.metadata.name async for job in client.list(Job, namespace=space)]


def test_the_asynchronous_client_works_as_well(kubeconfig, space):
    assert asyncio.run(_asynchronously(kubeconfig, space)) == ["etl"]
