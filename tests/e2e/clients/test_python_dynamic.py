"""The dynamic client of Kubernetes' Python library, which knows no kind but by discovery, against a real daemon."""

import gc
import itertools

import pytest
from kubernetes import config, dynamic
from kubernetes.dynamic import exceptions

from support.served import GROUP, VERSION, a_shell_job, a_space

pytestmark = [pytest.mark.needs_root, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

API_VERSION = f"{GROUP}/{VERSION}"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def client(kubeconfig, tmp_path_factory):
    cache = tmp_path_factory.mktemp("discovery") / "cache.json"
    with config.new_client_from_config(str(kubeconfig)) as api:
        yield dynamic.DynamicClient(api, cache_file=str(cache))
        api.rest_client.pool_manager.clear()
    gc.collect()


@pytest.fixture(scope="module")
def jobs(client):
    return client.resources.get(api_version=API_VERSION, kind="Job")


@pytest.fixture
def space(served):
    return a_space(served, f"dynamic-{next(_numbers)}")


def test_kinds_are_found_by_discovery(client, jobs):
    runtimes = client.resources.get(api_version=API_VERSION, kind="Runtime")
    short = client.resources.search(short_names=["rt"])

    assert (jobs.name, jobs.namespaced, runtimes.namespaced) == ("jobs", True, False)
    assert {"create", "delete", "get", "list", "patch", "update", "watch"} <= set(jobs.verbs)
    assert "status" in jobs.subresources
    assert all(found.group == GROUP for found in short)
    with pytest.raises(exceptions.ResourceNotFoundError):
        client.resources.get(api_version=API_VERSION, kind="Nothing")


def test_objects_are_created_read_and_deleted(jobs, space):
    made = jobs.create(body=a_shell_job("etl", "true", suspend=True), namespace=space)
    (listed,) = jobs.get(namespace=space).items

    assert (made.metadata.uid, made.spec.suspend) == (listed.metadata.uid, True)
    assert jobs.get(name="etl", namespace=space).kind == "Job"
    jobs.delete(name="etl", namespace=space)


def test_refusals_are_the_clients_own_exceptions(jobs, space):
    jobs.create(body=a_shell_job("etl", "true", suspend=True), namespace=space)

    with pytest.raises(exceptions.NotFoundError):
        jobs.get(name="none", namespace=space)
    with pytest.raises(exceptions.ConflictError) as taken:
        jobs.create(body=a_shell_job("etl", "true"), namespace=space)
    with pytest.raises(exceptions.UnprocessibleEntityError) as invalid:
        jobs.create(body=a_shell_job("bad", "true", backoffLimit="many"), namespace=space)
    assert "already exists" in taken.value.summary()
    assert "spec.backoffLimit" in invalid.value.summary()


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        ("application/merge-patch+json", {"spec": {"backoffLimit": 3}}),
        ("application/json-patch+json", [{"op": "replace", "path": "/spec/backoffLimit", "value": 3}]),
    ],
)
def test_objects_are_patched(jobs, space, content_type, patch):
    jobs.create(body=a_shell_job("etl", "true", suspend=True), namespace=space)

    assert jobs.patch(body=patch, name="etl", namespace=space, content_type=content_type).spec.backoffLimit == 3


def test_the_clients_own_default_patch_is_refused_with_415(jobs, space):
    jobs.create(body=a_shell_job("etl", "true", suspend=True), namespace=space)

    with pytest.raises(exceptions.DynamicApiError) as refused:
        jobs.patch(body={"spec": {"backoffLimit": 3}}, name="etl", namespace=space)
    assert refused.value.status == 415


def test_objects_are_applied_by_managers_who_conflict(jobs, space):
    def apply(manager, limit, **options):
        body = a_shell_job("etl", "true", suspend=True, backoffLimit=limit)
        return jobs.server_side_apply(body=body, name="etl", namespace=space, field_manager=manager, **options)

    apply("one", 1)
    with pytest.raises(exceptions.ConflictError) as conflict:
        apply("two", 2)
    forced = apply("two", 2, force_conflicts=True)

    assert 'conflict with \\"one\\"' in str(conflict.value.body)
    assert forced.spec.backoffLimit == 2
    assert {entry.manager for entry in forced.metadata.managedFields if entry.operation == "Apply"} == {"one", "two"}


def test_objects_are_watched_by_name(jobs, space):
    jobs.create(body=a_shell_job("etl", "true", suspend=True), namespace=space)
    jobs.create(body=a_shell_job("other", "true", suspend=True), namespace=space)

    events = list(jobs.watch(namespace=space, name="etl", timeout=1))

    assert {event["object"].metadata.name for event in events} == {"etl"}
    assert events[0]["type"] == "ADDED"


def test_initial_events_end_with_a_bookmark(jobs, space):
    jobs.create(body=a_shell_job("etl", "true", suspend=True), namespace=space)

    events = list(
        jobs.watch(
            namespace=space, timeout=1, send_initial_events=True, resource_version_match="NotOlderThan",
            allow_watch_bookmarks=True,
        )
    )  # fmt: skip

    assert events[0]["type"] == "ADDED"
    bookmark = next(event["raw_object"] for event in events if event["type"] == "BOOKMARK")
    assert bookmark["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true"


def test_the_status_is_a_resource_of_its_own(jobs, space):
    jobs.create(body=a_shell_job("etl", "true", suspend=True), namespace=space)
    condition = {"type": "Checked", "status": "True", "reason": "ByHand", "message": "seen"}

    changed = jobs.status.patch(
        name="etl", namespace=space, body={"status": {"conditions": [condition]}},
        content_type="application/merge-patch+json",
    )  # fmt: skip

    assert [each.type for each in changed.status.conditions] == ["Checked"]


def test_core_kinds_are_patched_strategically(client, space):
    maps = client.resources.get(api_version="v1", kind="ConfigMap")
    body = {"metadata": {"name": "m", "finalizers": ["example.com/a"]}, "data": {"a": "1", "b": "2"}}
    maps.create(body={"apiVersion": "v1", "kind": "ConfigMap", **body}, namespace=space)

    patch = {"metadata": {"finalizers": ["example.com/b"]}, "data": {"a": None}}
    changed = maps.patch(body=patch, name="m", namespace=space)

    assert sorted(changed.metadata.finalizers) == ["example.com/a", "example.com/b"]
    assert changed.data.to_dict() == {"b": "2"}
    none = {"metadata": {"finalizers": None}}
    maps.patch(body=none, name="m", namespace=space, content_type="application/merge-patch+json")
