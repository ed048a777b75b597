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
    groups = {group["name"]: group for group in api.client.get("/apis").json()["groups"]}
    metrics = groups["metrics.k8s.io"]
    assert metrics["preferredVersion"] == {"groupVersion": "metrics.k8s.io/v1beta1", "version": "v1beta1"}
    assert api.client.get("/apis/metrics.k8s.io/v1beta1").json()["resources"][0]["kind"] == "PodMetrics"
    assert groups["runwright.dev"]["preferredVersion"] == {
        "groupVersion": "runwright.dev/v1alpha1",
        "version": "v1alpha1",
    }
    assert api.client.get("/apis/runwright.dev").json()["kind"] == "APIGroup"
    assert api.client.get("/apis/other").status_code == 404
    assert api.client.get("/apis/other/v1").status_code == 404


def test_every_kind_is_discovered_with_its_names(api):
    found = {}
    for kind in KINDS:
        found |= resources(api, f"/apis/{kind.api_version}" if kind.group else "/api/v1")

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

    assert core["pods"]["verbs"] == ["delete", "deletecollection", "get", "list", "watch"]
    assert core["pods/log"]["verbs"] == ["get"]
    assert "deletecollection" not in core["namespaces"]["verbs"]
    assert ours["manifests"]["verbs"] == ["get", "list"]
    assert ours["jobs/explain"]["verbs"] == ["get"]


def test_every_discovered_list_answers(api):
    for prefix in (GROUP, "/api/v1"):
        for name, resource in resources(api, prefix).items():
            if "list" in resource["verbs"]:
                assert api.client.get(f"{prefix}/{name}").status_code == 200, name


AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
OLDER = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"


@pytest.mark.parametrize("path", ["/api", "/apis", "/apis/"])
@pytest.mark.parametrize("type_", [AGGREGATED, OLDER])
def test_aggregated_discovery_has_exactly_the_type_that_was_asked_for(api, path, type_):
    answer = api.client.get(path, headers={"accept": f"{type_},application/json"})

    assert answer.headers["content-type"] == type_
    assert answer.headers["vary"] == "Accept"
    assert "etag" not in answer.headers
    assert answer.json()["kind"] == "APIGroupDiscoveryList"


def test_aggregated_and_plain_discovery_say_the_same(api):
    plain = resources(api, GROUP)
    (group,) = [each for each in api.client.get("/apis", headers={"accept": AGGREGATED}).json()["items"]
                if each["metadata"]["name"] == "runwright.dev"]  # fmt: skip
    (version,) = group["versions"]
    found = {each["resource"]: each for each in version["resources"]}

    assert found.keys() == {name for name in plain if "/" not in name}
    for name, each in found.items():
        below = {f"{name}/{sub['subresource']}" for sub in each.get("subresources", ())}
        assert below == {other for other in plain if other.startswith(f"{name}/")}
        assert (each["verbs"], each["scope"] == "Namespaced") == (plain[name]["verbs"], plain[name]["namespaced"])


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/json;as=Other;g=x;v=v1", "text/html"])
def test_any_other_client_gets_plain_discovery(api, accept):
    answer = api.client.get("/apis", headers={} if accept is None else {"accept": accept})

    assert (answer.headers["content-type"], answer.json()["kind"]) == ("application/json", "APIGroupList")


def test_the_root_lists_the_paths(api):
    paths = api.client.get("/").json()["paths"]

    assert {"/api/v1", GROUP, "/openapi/v3", "/metrics"} <= set(paths)
