import pytest

from api.kinds import KINDS

GROUP = "/apis/runwright.dev/v1alpha1"


def resources(api, path):
    return {resource["name"]: resource for resource in api.client.get(path).json()["resources"]}


@pytest.mark.parametrize("path", ["/version", "/version/"])
def test_the_version_is_one_that_clients_can_read(api, path):
    version = api.client.get(path).json()

    assert (version["gitVersion"], version["minor"]) == ("v1.32.0+runwright.0.1.0", "32")
    assert all(isinstance(value, str) for value in version.values())


def test_groups_and_versions_are_listed(api):
    assert api.client.get("/api").json()["versions"] == ["v1"]
    group, metrics = api.client.get("/apis").json()["groups"]
    assert metrics["preferredVersion"] == {"groupVersion": "metrics.k8s.io/v1beta1", "version": "v1beta1"}
    assert api.client.get("/apis/metrics.k8s.io/v1beta1").json()["resources"][0]["kind"] == "PodMetrics"
    assert group["preferredVersion"] == {"groupVersion": "runwright.dev/v1alpha1", "version": "v1alpha1"}
    assert api.client.get("/apis/runwright.dev").json()["kind"] == "APIGroup"
    assert api.client.get("/apis/other").status_code == 404
    assert api.client.get("/apis/other/v1").status_code == 404


def test_every_kind_is_discovered_with_its_names(api):
    found = resources(api, GROUP) | resources(api, "/api/v1")

    for kind in KINDS:
        resource = found[kind.plural]
        assert (resource["kind"], resource["namespaced"], resource["singularName"]) == (
            kind.name,
            kind.namespaced,
            kind.singular,
        )
        assert resource.get("shortNames", []) == list(kind.short_names)
        assert {"create", "delete", "get", "list", "patch", "update", "watch"} <= set(resource["verbs"])
        assert (f"{kind.plural}/status" in found) == kind.has_status


def test_projections_are_discovered_with_what_they_do(api):
    core, ours = resources(api, "/api/v1"), resources(api, GROUP)

    assert core["pods"]["verbs"] == ["get", "list", "watch"]
    assert core["pods/log"]["verbs"] == ["get"]
    assert ours["manifests"]["verbs"] == ["get", "list"]
    assert ours["jobs/explain"]["verbs"] == ["get"]


def test_every_discovered_list_answers(api):
    for prefix in (GROUP, "/api/v1"):
        for name, resource in resources(api, prefix).items():
            if "list" in resource["verbs"]:
                assert api.client.get(f"{prefix}/{name}").status_code == 200, name
