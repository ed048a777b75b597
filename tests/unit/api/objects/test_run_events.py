"""What is told of a run is stored once, about its job, and shown as its pod's too."""

import json

import pytest

from api.errors import Conflict, NotFound
from api.kinds import EVENT
from api.objects import selectors
from api.objects.run_events import Events, EventVerbs
from support.hand_clock import HandClock
from support.objects import by

ME = by("me")
SAID = "0123456789abcdef"


def an_event(job="etl", pod="etl-1", said=SAID, **more):
    about = {"apiVersion": "runwright.dev/v1alpha1", "kind": "Job", "namespace": "default", "name": job, "uid": "u"}
    of_pod = {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": pod, "uid": "u-1"}
    metadata = {"name": f"{job}.{said}", "namespace": "default"}
    return {"metadata": metadata, "involvedObject": about, "related": of_pod, "reason": "Started"} | more


@pytest.fixture
def events(verbs):
    return Events(verbs)


def put(verbs, *documents):
    return [verbs.create(EVENT, "default", document, ME).document for document in documents]


def names(page):
    return [item["metadata"]["name"] for item in page.items]


def test_an_event_of_a_run_is_its_pods_too_with_its_kind_name_and_uid(verbs, events):
    (stored,) = put(verbs, an_event())

    mine, pods = events.list("default").items

    assert mine == stored
    assert pods["involvedObject"] == an_event()["related"] | {"fieldPath": "spec.containers{job}"}
    assert (pods["related"]["kind"], pods["related"]["name"]) == ("Job", "etl")
    assert pods["metadata"]["name"] == f"etl-1.{SAID}"
    assert pods["metadata"]["uid"] != stored["metadata"]["uid"]
    assert len(verbs.storage.list("Event").items) == 1


@pytest.mark.parametrize(
    "document",
    [
        an_event(related=None),
        an_event(related={"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}),
        an_event(related={"apiVersion": "v1", "kind": "Pod"}),
        an_event(involvedObject={"apiVersion": "batch/v1", "kind": "Job", "name": "etl"}),
        an_event(involvedObject={"apiVersion": "v1", "kind": "Pod", "name": "etl-1"}),
    ],
)
def test_any_other_event_is_shown_once(verbs, events, document):
    put(verbs, document)

    assert names(events.list("default")) == [f"etl.{SAID}"]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ("involvedObject.kind=Pod,involvedObject.name=etl-1", [f"etl-1.{SAID}"]),
        ("involvedObject.uid=u-1", [f"etl-1.{SAID}"]),
        ("involvedObject.kind=Job", [f"etl.{SAID}"]),
        ("involvedObject.name=etl-2", []),
    ],
)
def test_either_is_selected_by_what_it_is_about(verbs, events, fields, found):
    put(verbs, an_event())

    assert names(events.list("default", selectors.parse(EVENT, None, fields))) == found


@pytest.mark.parametrize(("job", "pod"), [("etl", "etl-1"), ("etl", "etl-3-1"), ("a-2", "a-2-7")])
def test_a_pods_event_is_read_by_its_own_name(verbs, events, job, pod):
    put(verbs, an_event(job, pod))

    assert events.get("default", f"{pod}.{SAID}")["involvedObject"]["name"] == pod


@pytest.mark.parametrize("name", [f"etl-2.{SAID}", f"etl-1-1.{SAID}", "etl-1", "etl-1.0", f"other-1.{SAID}", ".x"])
def test_a_name_that_is_no_events_is_not_found(verbs, events, name):
    put(verbs, an_event())

    with pytest.raises(NotFound) as caught:
        events.get("default", name)
    assert caught.value.message == f'events "{name}" not found'


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7])
def test_pages_are_the_whole_list_and_no_page_has_more_than_its_limit(verbs, events, limit):
    put(verbs, an_event("a", "a-1"), an_event("b", related=None), an_event("c", "c-1"), an_event("d", "d-1"))
    pages = [events.list("default", limit=limit)]
    while pages[-1].continue_:
        put(verbs, an_event(said=f"{len(pages):x}"))  # Those that come meanwhile are not of the moment shown.
        pages.append(events.list("default", limit=limit, continue_=pages[-1].continue_))

    assert [len(page.items) <= limit for page in pages] == [True] * len(pages)
    shown = [name.partition(".")[0] for page in pages for name in names(page)]
    assert shown == ["a", "a-1", "b", "c", "c-1", "d", "d-1"]
    assert len({page.revision for page in pages}) == 1


def test_a_watch_is_told_of_both(store, verbs, events):
    before = store.revision()
    put(verbs, an_event())
    EventVerbs(store, HandClock()).delete(EVENT, "default", f"etl.{SAID}")

    told = [
        [None if each is None else each["involvedObject"]["kind"] for each in step]
        for change in store.changes(before, kind="Event")
        for step in events.steps(change)
    ]

    assert told == [[None, "Job"], [None, "Pod"], ["Job", None], ["Pod", None]]


@pytest.mark.parametrize("name", [f"etl.{SAID}", f"etl-1.{SAID}"])
def test_who_deletes_either_deletes_both(store, verbs, events, name):
    put(verbs, an_event())
    uid = events.get("default", name)["metadata"]["uid"]
    deleting = EventVerbs(store, HandClock())

    with pytest.raises(Conflict, match="UID in precondition"):
        deleting.delete(EVENT, "default", name, uid="another")
    deleted = deleting.delete(EVENT, "default", name, uid=uid)

    assert (deleted.document["metadata"]["name"], deleted.gone) == (name, True)
    assert names(events.list("default")) == []


def test_a_collection_of_pods_events_is_deleted_and_no_other(store, verbs, events):
    put(verbs, an_event(), an_event("b", "b-1"), an_event("c", related=None))
    selector = selectors.parse(EVENT, None, "involvedObject.kind=Pod,involvedObject.name=etl-1")

    taken = EventVerbs(store, HandClock()).delete_collection(EVENT, "default", selector)

    assert names(taken) == [f"etl-1.{SAID}"]
    assert names(events.list("default")) == [f"b.{SAID}", f"b-1.{SAID}", f"c.{SAID}"]


@pytest.mark.parametrize("place", ["api/v1", "apis/events.k8s.io/v1"])
def test_both_groups_show_delete_and_watch_them(api, place):
    document = an_event()
    document["metadata"] = {"name": f"etl.{SAID}"}
    api.client.post(f"/api/v1/namespaces/{api.space}/events", json=document)
    path = f"/{place}/namespaces/{api.space}/events"
    field = "involvedObject" if place == "api/v1" else "regarding"

    listed = api.client.get(path, params={"fieldSelector": f"{field}.kind=Pod"}).json()["items"]
    with api.client.stream("GET", path, params={"watch": 1, "timeoutSeconds": 1}) as answer:
        watched = [json.loads(line)["object"][field]["kind"] for line in answer.iter_lines()]
    deleted = api.client.delete(f"{path}/etl-1.{SAID}")

    assert [item[field]["uid"] for item in listed] == ["u-1"]
    assert watched == ["Job", "Pod"]
    assert deleted.status_code == 200
    assert api.client.get(path).json()["items"] == []
