import json


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
