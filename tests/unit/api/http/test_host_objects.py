import json

import pytest

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
CORDON = {"spec": {"unschedulable": True}}


def test_the_one_node_is_got_listed_and_watched(api):
    listed = api.client.get("/api/v1/nodes").json()
    (node,) = listed["items"]
    with api.client.stream("GET", "/api/v1/nodes?watch=1&timeoutSeconds=1") as answer:
        events = [json.loads(line)["type"] for line in answer.iter_lines()]

    assert (listed["kind"], node["kind"], node["apiVersion"]) == ("NodeList", "Node", "v1")
    assert node["metadata"]["resourceVersion"]
    assert api.client.get(f"/api/v1/nodes/{node['metadata']['name']}").json()["kind"] == "Node"
    assert events == ["ADDED"]


def test_no_other_node_is_there_and_none_is_made(api):
    assert api.client.get("/api/v1/nodes/other").json()["reason"] == "NotFound"
    assert api.client.post("/api/v1/nodes", json={"metadata": {"name": "x"}}).status_code == 405


def test_there_are_no_services(api):
    listed = api.client.get(f"/api/v1/namespaces/{api.space}/services").json()

    assert (listed["kind"], listed["items"]) == ("ServiceList", [])
    assert api.client.get("/api/v1/services").json()["items"] == []


@pytest.fixture
def node(api):
    """The path of the one node, which is as it was afterwards."""
    before = api.client.get("/api/v1/nodes").json()["items"][0]
    path = f"/api/v1/nodes/{before['metadata']['name']}"
    yield path
    after = api.client.get(path).json()
    kept = {"name": after["metadata"]["name"], "resourceVersion": after["metadata"]["resourceVersion"]}
    api.client.put(path, json={"metadata": kept, "spec": {}})


def patch(api, path, change, type_=STRATEGIC, **query):
    return api.client.patch(path, content=json.dumps(change), headers={"content-type": type_}, params=query)


def table_status(api):
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    return api.client.get("/api/v1/nodes", headers=accept).json()["rows"][0]["cells"][1]


@pytest.mark.parametrize("type_", [STRATEGIC, MERGE])
def test_a_node_is_cordoned_and_uncordoned_as_kubectl_does_and_says_how_it_is_all_the_time(api, node, type_):
    before = api.client.get(node).json()
    cordoned = patch(api, node, CORDON, type_).json()

    assert cordoned["spec"] == {"unschedulable": True}
    assert cordoned["status"] == before["status"]
    assert cordoned["metadata"]["uid"] == before["metadata"]["uid"]
    assert api.client.get(node).json()["spec"] == {"unschedulable": True}
    assert table_status(api) == "Ready,SchedulingDisabled"

    assert patch(api, node, {"spec": {"unschedulable": None}}, type_).json()["spec"] == {}
    assert table_status(api) == "Ready"


def test_a_node_is_replaced_applied_and_labelled(api, node):
    shown = api.client.get(node).json()
    replaced = api.client.put(node, json=shown | {"spec": {"unschedulable": True}, "status": {}})
    labelled = patch(api, node, {"metadata": {"labels": {"a": "b"}}}, MERGE)
    applied = patch(
        api, node, {"metadata": {"annotations": {"c": "d"}}}, "application/apply-patch+yaml", fieldManager="me"
    )

    assert [answer.status_code for answer in (replaced, labelled, applied)] == [200, 200, 200]
    after = applied.json()
    assert (after["spec"], after["metadata"]["labels"]["a"], after["metadata"]["annotations"]) == (
        {"unschedulable": True}, "b", {"c": "d"},
    )  # fmt: skip
    assert after["status"] == shown["status"]


def test_a_stale_change_of_a_node_is_a_conflict_and_a_dry_run_changes_nothing(api, node):
    stale = api.client.get(node).json()
    patch(api, node, CORDON)

    assert api.client.put(node, json=stale).json()["reason"] == "Conflict"
    assert patch(api, node, {"spec": None}, MERGE, dryRun="All").json()["spec"] == {}
    assert api.client.get(node).json()["spec"] == {"unschedulable": True}


def test_a_watch_is_told_of_a_cordon(api, node):
    version = api.client.get("/api/v1/nodes").json()["metadata"]["resourceVersion"]
    patch(api, node, CORDON)
    query = {"watch": 1, "timeoutSeconds": 1, "resourceVersion": version}
    with api.client.stream("GET", "/api/v1/nodes", params=query) as answer:
        event = json.loads(next(answer.iter_lines()))

    assert (event["type"], event["object"]["spec"]) == ("MODIFIED", {"unschedulable": True})
    assert event["object"]["status"] == api.client.get(node).json()["status"]


def test_no_other_node_is_changed_made_or_deleted_and_none_has_taints(api, node):
    applied = patch(api, "/api/v1/nodes/other", CORDON, "application/apply-patch+yaml", fieldManager="me")
    taint = {"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}

    assert patch(api, "/api/v1/nodes/other", CORDON).json()["reason"] == "NotFound"
    assert applied.json()["reason"] == "NotFound"
    assert api.client.delete(node).status_code == 405
    assert "spec.taints: Forbidden: there are no tolerations" in patch(api, node, taint, MERGE).json()["message"]
