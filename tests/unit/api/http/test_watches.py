"""Watches over real HTTP: each test reads the very next line, so nothing here waits for time to pass."""

import contextlib
import json
import select
import socket
import threading
import time

import pytest

from api.http import answers, feed, watches
from api.kinds import JOB
from support.http import client_of
from support.objects import a_job, by
from support.secret_objects import a_secret

JOB_TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


@pytest.fixture
def watch(api):
    with contextlib.ExitStack() as stack:

        def watch(path=None, headers=None, **query):
            client = stack.enter_context(client_of(api.socket))
            params = {"watch": "true", **query}
            stream = stack.enter_context(client.stream("GET", path or api.jobs(), params=params, headers=headers))
            assert stream.status_code == 200
            assert stream.headers["transfer-encoding"] == "chunked"
            return (json.loads(line) for line in stream.iter_lines())

        yield watch


def create(api, name="etl", **labels):
    return api.client.post(api.jobs(), json=a_job(name, metadata={"labels": labels})).json()


def label(api, name, **labels):
    headers = {"content-type": "application/merge-patch+json"}
    change = json.dumps({"metadata": {"labels": labels}})
    return api.client.patch(api.jobs(name), content=change, headers=headers).json()


def remove(api, name):
    api.client.delete(api.jobs(name))
    headers = {"content-type": "application/merge-patch+json"}
    api.client.patch(api.jobs(name), content='{"metadata":{"finalizers":null}}', headers=headers)


def is_eventually(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        select.select([], [], [], 0.01)
    return True


def test_what_is_there_comes_first_and_then_every_change(api, watch):
    first = create(api)
    events = watch()
    assert next(events) == {"type": "ADDED", "object": first}

    changed = label(api, "etl", a="b")
    assert next(events) == {"type": "MODIFIED", "object": changed}

    remove(api, "etl")
    assert next(events)["object"]["metadata"]["deletionTimestamp"]
    gone = next(events)
    assert (gone["type"], gone["object"]["metadata"]["uid"]) == ("DELETED", first["metadata"]["uid"])
    assert int(gone["object"]["metadata"]["resourceVersion"]) > int(changed["metadata"]["resourceVersion"])


@pytest.mark.parametrize("version", ["", "0"])
def test_no_version_and_0_begin_with_what_is_there(api, watch, version):
    created = create(api)

    assert next(watch(resourceVersion=version)) == {"type": "ADDED", "object": created}


def test_a_watch_from_a_version_gives_only_what_came_later(api, watch):
    version = create(api)["metadata"]["resourceVersion"]
    between = create(api, "between")
    events = watch(resourceVersion=version)
    after = create(api, "after")

    assert [next(events)["object"], next(events)["object"]] == [between, after]


def test_a_list_and_then_a_watch_miss_and_repeat_nothing(api, watch):
    for number in range(20):
        create(api, f"j{number}")
    listed = api.client.get(api.jobs()).json()
    events = watch(resourceVersion=listed["metadata"]["resourceVersion"])
    for number in range(20, 40):
        create(api, f"j{number}")

    seen = [next(events)["object"]["metadata"]["name"] for _ in range(20)]

    assert seen == [f"j{number}" for number in range(20, 40)]
    assert len(listed["items"]) == 20


def test_a_watch_sees_its_namespace_only(api, watch):
    events = watch()
    api.verbs.create(JOB, "default", a_job(f"x-{api.space}"), by("m"))
    mine = create(api)

    assert next(events)["object"] == mine


def test_objects_come_and_go_with_the_label_that_is_selected(api, watch):
    create(api, "etl", a="1")
    events = watch(labelSelector="a=1")
    assert next(events)["type"] == "ADDED"

    left = label(api, "etl", a="2")
    event = next(events)
    assert (event["type"], event["object"]) == ("DELETED", left)

    label(api, "etl", other="x")
    back = label(api, "etl", a="1")
    event = next(events)
    assert (event["type"], event["object"]) == ("ADDED", back)


def test_a_single_object_is_watched_by_its_name(api, watch):
    events = watch(fieldSelector="metadata.name=two")
    create(api, "one")
    two = create(api, "two")

    assert next(events) == {"type": "ADDED", "object": two}


def test_the_end_of_what_was_there_is_marked_when_asked_for(api, watch):
    created = create(api)
    events = watch(sendInitialEvents="true", resourceVersionMatch="NotOlderThan", allowWatchBookmarks="true")

    assert next(events) == {"type": "ADDED", "object": created}
    mark = next(events)
    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(mark["object"]["metadata"]["resourceVersion"]) >= int(created["metadata"]["resourceVersion"])


def test_initial_events_can_be_declined(api, watch):
    create(api)
    events = watch(sendInitialEvents="false", resourceVersionMatch="NotOlderThan")
    later = create(api, "later")

    assert next(events)["object"] == later


def test_initial_events_need_the_match_that_they_are_defined_with(api):
    response = api.client.get(api.jobs(), params={"watch": "1", "sendInitialEvents": "true"})

    assert response.status_code == 422
    assert "resourceVersionMatch" in response.json()["message"]


def test_a_watch_ends_cleanly_after_its_time_with_a_bookmark(api, watch):
    events = list(watch(timeoutSeconds="1", allowWatchBookmarks="True"))

    assert [event["type"] for event in events] == ["BOOKMARK"]
    assert events[0]["object"]["kind"] == "Job"


def test_a_watch_of_less_than_no_time_is_over_at_once(api, watch):
    create(api)

    assert list(watch(timeoutSeconds="-1", allowWatchBookmarks="True")) == []


def test_bookmarks_come_by_themselves(api, watch, monkeypatch):
    monkeypatch.setattr(watches, "BOOKMARK_SECONDS", 0.05)
    events = watch(allowWatchBookmarks="true")

    assert [next(events)["type"], next(events)["type"]] == ["BOOKMARK", "BOOKMARK"]


def test_a_bookmark_moves_on_with_changes_of_other_kinds(api, watch, monkeypatch):
    monkeypatch.setattr(watches, "BOOKMARK_SECONDS", 0.05)
    events = watch(path="/apis/runwright.dev/v1alpha1/registries", allowWatchBookmarks="true")
    version = int(create(api)["metadata"]["resourceVersion"])

    assert any(int(event["object"]["metadata"]["resourceVersion"]) >= version for event in events)


@pytest.mark.parametrize("others_watch", [False, True])
def test_a_watch_from_a_revision_that_was_never_reached_says_expired_and_ends(api, watch, others_watch):
    if others_watch:  # Then changes are at hand, and nobody need ask the store.
        others = watch()
        create(api)
        assert next(others)["type"] == "ADDED"

    (event,) = list(watch(resourceVersion="999999999"))

    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_tables_are_watched_with_their_columns_once(api, watch):
    create(api)
    events = watch(headers=JOB_TABLE)

    first = next(events)["object"]
    assert (first["kind"], first["rows"][0]["cells"][0]) == ("Table", "etl")
    assert first["columnDefinitions"][0]["name"] == "Name"
    label(api, "etl", a="b")
    assert next(events)["object"]["columnDefinitions"] is None


def test_pods_are_watched_through_their_jobs(api, watch):
    create(api)
    events = watch(path=f"/api/v1/namespaces/{api.space}/pods")
    headers = {"content-type": "application/merge-patch+json"}

    def run(**fields):
        body = json.dumps({"status": {"runs": [{"attempt": 1, **fields}]}})
        api.client.patch(api.jobs("etl", "status"), content=body, headers=headers)

    run(state="Running")
    run(state="Ended", exitCode=0)
    remove(api, "etl")

    seen = [(event["type"], event["object"]["status"]["phase"]) for event in (next(events) for _ in range(3))]
    assert seen == [("ADDED", "Running"), ("MODIFIED", "Succeeded"), ("DELETED", "Succeeded")]


def test_many_watchers_see_the_same_in_the_same_order(api, watch):
    everyone = [
        watch(path="/apis/runwright.dev/v1alpha1/jobs", fieldSelector=f"metadata.namespace={api.space}")
        for _ in range(10)
    ]
    for number in range(30):
        create(api, f"j{number}")

    seen = [[next(events)["object"]["metadata"]["name"] for _ in range(30)] for events in everyone]

    assert seen == [[f"j{number}" for number in range(30)]] * 10


def test_a_watcher_far_behind_reads_on_from_the_store(api, watch):
    version = create(api)["metadata"]["resourceVersion"]
    with contextlib.closing(watch()) as keeps_the_feed_running:
        next(keeps_the_feed_running)
        for number in range(300):
            api.verbs.create(JOB, api.space, a_job(f"j{number:03}"), by("m"))
        events = watch(resourceVersion=version)

        assert [next(events)["object"]["metadata"]["name"] for _ in range(300)] == [f"j{n:03}" for n in range(300)]


def feed_of(api):
    return api.server._app.state.feed


def test_a_client_that_goes_away_frees_its_watch(api):
    with client_of(api.socket) as client, client.stream("GET", api.jobs(), params={"watch": "1"}):
        assert is_eventually(lambda: len(feed_of(api)._wakes) > 0)

    assert is_eventually(lambda: not feed_of(api)._wakes)


def test_what_was_kept_for_watchers_is_forgotten_with_the_last_of_them_and_the_next_one_misses_nothing(api, watch):
    with client_of(api.socket) as client, client.stream("GET", api.jobs(), params={"watch": "1"}):
        assert is_eventually(lambda: feed_of(api)._floor is not None)

    assert is_eventually(lambda: feed_of(api)._floor is None)
    version = create(api, "meanwhile")["metadata"]["resourceVersion"]
    events = watch(resourceVersion=str(int(version) - 1))
    create(api, "later")

    assert [next(events)["object"]["metadata"]["name"] for _ in range(2)] == ["meanwhile", "later"]


def test_a_client_that_does_not_read_is_let_go(api, monkeypatch):
    monkeypatch.setattr(answers, "SLOWEST_READER_SECONDS", 0.2)
    for number in range(12):
        api.client.post(api.jobs(), json=a_job(f"big{number}", args=["x" * 100_000] * 2))
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as slow:
        slow.connect(str(api.socket))
        slow.sendall(f"GET {api.jobs()}?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert is_eventually(lambda: len(feed_of(api)._wakes) > 0)

        assert is_eventually(lambda: not feed_of(api)._wakes)
        assert api.client.get("/livez").text == "ok"


def test_idle_watches_hold_no_thread(api, watch):
    everyone = [watch() for _ in range(60)]

    assert is_eventually(lambda: len(feed_of(api)._wakes) == len(everyone))
    created = create(api)
    assert all(next(events)["object"] == created for events in everyone)


def test_what_all_are_sent_is_written_once(api, watch):
    everyone = [watch() for _ in range(3)]
    created = create(api)

    assert [next(events) for events in everyone] == [{"type": "ADDED", "object": created}] * 3
    assert len(lines_of(api, "jobs", created)) == 1


def lines_of(api, plural, document):
    revision = int(document["metadata"]["resourceVersion"])
    return [key for key in feed_of(api).lines._lines if (key[2], key[-1]) == (plural, revision)]


def test_what_one_is_shown_otherwise_is_its_own(api, watch):
    partial = {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}
    whole, short, table, empty = watch(), watch(headers=partial), watch(headers=JOB_TABLE), watch(labelSelector="a=b")
    created = create(api)
    label(api, "etl", a="b")

    assert next(whole)["object"] == created
    assert next(short)["object"]["kind"] == "PartialObjectMetadata"
    assert next(table)["object"]["kind"] == "Table"
    assert [next(whole)["type"], next(empty)["type"]] == ["MODIFIED", "ADDED"]


def test_nothing_of_a_secret_is_kept_for_others(api, watch):
    events = watch("/api/v1/namespaces/default/secrets")
    secret = api.client.post("/api/v1/namespaces/default/secrets", json=a_secret("unseen")).json()

    assert next(events)["object"] == secret
    assert lines_of(api, "secrets", secret) == []


def test_no_more_than_so_many_lines_are_kept(api, watch):
    events = watch()
    for number in range(feed._LINES + 5):
        create(api, f"etl-{number}")
        next(events)

    assert len(feed_of(api).lines._lines) == feed._LINES


def test_whatever_fails_once_in_the_feed_it_goes_on(api, watch, monkeypatch, caplog):
    old = watch()
    assert is_eventually(lambda: feed_of(api)._floor is not None)
    failed, by_itself = threading.Event(), api.store.changes

    def changes_or_fail(since, **named):
        if "kind" not in named and not failed.is_set():
            failed.set()
            raise RuntimeError("our bug")
        return by_itself(since, **named)

    monkeypatch.setattr(api.store, "changes", changes_or_fail)
    first = create(api, "first")
    assert failed.wait(10)
    assert next(old)["object"] == first
    new = watch(resourceVersion=first["metadata"]["resourceVersion"])
    second = create(api, "second")

    assert [next(old)["object"], next(new)["object"]] == [second, second]
    assert [record.message for record in caplog.records] == ["cannot follow the store"]
