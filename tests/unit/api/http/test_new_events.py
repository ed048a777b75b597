import json

import pytest

NEW = "/apis/events.k8s.io/v1"
MERGE = {"content-type": "application/merge-patch+json"}


@pytest.fixture
def new(api):
    return f"{NEW}/namespaces/{api.space}/events"


@pytest.fixture
def core(api):
    return f"/api/v1/namespaces/{api.space}/events"


def an_event(name="e", **more):
    regarding = {"kind": "Job", "name": "etl", "namespace": "x", "uid": "u"}
    return {"metadata": {"name": name}, "regarding": regarding, "note": "said", "reason": "R", "type": "Normal",
            "reportingController": "x/y", "reportingInstance": "z", "action": "a"} | more  # fmt: skip


def test_what_is_made_in_one_shape_is_read_in_the_other(api, new, core):
    made = api.client.post(new, json=an_event(eventTime="2026-01-01T00:00:00.000005Z"))
    read = api.client.get(f"{core}/e").json()

    assert (made.status_code, made.json()["apiVersion"], made.json()["note"]) == (201, "events.k8s.io/v1", "said")
    assert (read["apiVersion"], read["message"], read["involvedObject"]["name"]) == ("v1", "said", "etl")
    assert (read["reportingComponent"], read["eventTime"]) == ("x/y", "2026-01-01T00:00:00.000005Z")


def test_the_time_of_an_event_is_never_null(api, new, core):
    api.client.post(core, json={"metadata": {"name": "old"}, "lastTimestamp": "2026-01-01T00:00:00Z"})
    api.client.post(core, json={"metadata": {"name": "bare"}})
    times = {item["metadata"]["name"]: item["eventTime"] for item in api.client.get(new).json()["items"]}

    assert times["old"] == "2026-01-01T00:00:00.000000Z"
    assert times["bare"]


@pytest.mark.parametrize(
    ("type_", "patch"),
    [
        ("application/merge-patch+json", {"note": "again", "deprecatedCount": 2}),
        ("application/strategic-merge-patch+json", {"note": "again", "deprecatedCount": 2}),
        (
            "application/json-patch+json",
            [
                {"op": "replace", "path": "/note", "value": "again"},
                {"op": "add", "path": "/deprecatedCount", "value": 2},
            ],
        ),
    ],
)
def test_every_patch_speaks_of_the_fields_as_this_shape_has_them(api, new, core, type_, patch):
    api.client.post(new, json=an_event())
    patched = api.client.patch(f"{new}/e", content=json.dumps(patch), headers={"content-type": type_}).json()

    assert (patched["note"], patched["deprecatedCount"]) == ("again", 2)
    assert api.client.get(f"{core}/e").json()["count"] == 2


def test_an_event_is_applied_replaced_and_deleted(api, new):
    applied = api.client.patch(
        f"{new}/e?fieldManager=me",
        content=json.dumps(an_event()),
        headers={"content-type": "application/apply-patch+yaml"},
    )
    replaced = api.client.put(f"{new}/e", json=applied.json() | {"note": "other"})
    deleted = api.client.delete(f"{new}/e")

    assert (applied.status_code, replaced.json()["note"], deleted.json()["status"]) == (201, "other", "Success")


def test_selectors_speak_of_the_fields_as_this_shape_has_them(api, new, core):
    api.client.post(new, json=an_event())
    api.client.post(new, json=an_event("other", regarding={"kind": "Job", "name": "x"}))

    found = api.client.get(f"{new}?fieldSelector=regarding.name=etl").json()["items"]
    assert [item["metadata"]["name"] for item in found] == ["e"]
    assert api.client.get(f"{core}?fieldSelector=regarding.name=etl").status_code == 400
    api.client.delete(f"{new}?fieldSelector=regarding.name=etl")
    assert [item["metadata"]["name"] for item in api.client.get(core).json()["items"]] == ["other"]


def test_a_watch_shows_this_shape(api, new):
    api.client.post(new, json=an_event())
    with api.client.stream("GET", f"{new}?watch=1&timeoutSeconds=1") as answer:
        first = json.loads(next(answer.iter_lines()))

    assert (first["type"], first["object"]["note"]) == ("ADDED", "said")


def test_a_page_says_where_it_goes_on(api, new):
    for name in ("a", "b", "c"):
        api.client.post(new, json=an_event(name))
    page = api.client.get(f"{new}?limit=2").json()
    rest = api.client.get(f"{new}?limit=2&continue={page['metadata']['continue']}").json()

    assert [item["metadata"]["name"] for item in (*page["items"], *rest["items"])] == ["a", "b", "c"]
    assert page["kind"] == "EventList"


def test_a_table_has_the_columns_that_kubectl_shows(api, new):
    api.client.post(new, json=an_event())
    table = api.client.get(new, headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json()
    names = [column["name"] for column in table["columnDefinitions"]]

    assert names[:5] == ["Last Seen", "Type", "Reason", "Object", "Note"]
    assert "job/etl" in table["rows"][0]["cells"]
