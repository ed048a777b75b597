from datetime import timedelta

import pytest

from api.http import tables
from api.http.negotiation import View
from api.http.tables import Showing, human_duration
from api.kinds import EVENT, JOB, KINDS
from api.objects.listing import Page
from support.hand_clock import START
from support.objects import a_job

CREATED = {"creationTimestamp": "2026-01-02T03:04:05Z", "resourceVersion": "7"}


def showing(kind=JOB, view=View.TABLE, include="Metadata", later=0):
    return Showing(kind, view, START + timedelta(seconds=later), include)


def test_a_table_has_name_first_age_after_the_others_and_wide_columns_last():
    table = tables.many(showing(later=300), Page((a_job(metadata=CREATED),), 9, "next", 3))

    names = [column["name"] for column in table["columnDefinitions"]]
    assert names == [
        "Name",
        "Phase",
        "Reason",
        "Completions",
        "Runs",
        "Exit",
        "Runtime",
        "Age",
        "Priority",
        "Message",
        "Resolved",
        "Starts-At",
        "Address",
        "Ports",
        "Command",
    ]
    assert [column["priority"] for column in table["columnDefinitions"]] == [0] * 8 + [1] * 7
    assert table["rows"][0]["cells"] == ["etl", "", "", "0/1", "", "", "", "5m", "", "", "", "", "", "", "true"]
    assert table["metadata"] == {"resourceVersion": "9", "continue": "next", "remainingItemCount": 3}
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_a_cell_for_each_column(kind):
    document = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": "x"}}
    table = tables.one(showing(kind), document)

    assert len(table["rows"][0]["cells"]) == len(table["columnDefinitions"])
    assert all(isinstance(cell, str) for cell in table["rows"][0]["cells"])


def test_a_row_holds_as_much_of_its_object_as_was_asked():
    document = a_job()

    def row(include):
        return tables.one(showing(include=include), document)["rows"][0]

    assert row("Object")["object"] == document
    assert "object" not in row("None")
    assert row("Metadata")["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"name": "etl"},
    }


def test_events_begin_with_when_they_were_last_seen():
    event = {
        "metadata": {"name": "e"},
        "lastTimestamp": "2026-01-02T03:04:05Z",
        "type": "Warning",
        "reason": "OOMKilled",
        "involvedObject": {"kind": "Job", "name": "etl"},
        "count": 3,
        "message": "killed",
    }
    table = tables.one(showing(EVENT, later=30), event)

    assert [column["name"] for column in table["columnDefinitions"]][:4] == ["Last Seen", "Type", "Reason", "Object"]
    assert table["rows"][0]["cells"] == ["30s", "Warning", "OOMKilled", "job/etl", "3", "killed", "e"]


def test_a_list_says_its_kind_and_revision():
    listed = tables.many(showing(view=View.PLAIN), Page((a_job(),), 9))

    assert listed == {
        "kind": "JobList",
        "apiVersion": "runwright.dev/v1alpha1",
        "metadata": {"resourceVersion": "9"},
        "items": [a_job()],
    }


def test_metadata_alone_can_be_asked_for():
    listed = tables.many(showing(view=View.METADATA), Page((a_job(),), 9))

    assert listed["kind"] == "PartialObjectMetadataList"
    assert [item.keys() for item in listed["items"]] == [{"kind", "apiVersion", "metadata"}]


@pytest.mark.parametrize(
    ("view", "kind"), [(View.PLAIN, "Job"), (View.METADATA, "PartialObjectMetadata"), (View.TABLE, "Table")]
)
def test_a_bookmark_is_of_the_kind_that_was_asked_for(view, kind):
    event = tables.bookmark(showing(view=view), 12, ends_initial=True)

    assert (event["type"], event["object"]["kind"]) == ("BOOKMARK", kind)
    assert event["object"]["metadata"]["resourceVersion"] == "12"
    marked = event["object"]["rows"][0]["object"] if view is View.TABLE else event["object"]
    assert marked["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-60, "<invalid>"), (-0.5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (150, "2m30s"), (599, "9m59s"),
        (600, "10m"), (10799, "179m"), (10800, "3h"), (11000, "3h3m"), (28800, "8h"), (172799, "47h"),
        (172800, "2d"), (180000, "2d2h"), (691200, "8d"), (63071999, "729d"), (63072000, "2y"), (252288000, "8y"),
    ],
)  # fmt: skip
def test_ages_are_short(seconds, text):
    assert human_duration(seconds) == text


def test_an_unknown_age_says_so():
    assert tables.one(showing(), a_job())["rows"][0]["cells"][7] == "<unknown>"
    bad = a_job(metadata={"creationTimestamp": "yesterday"})
    assert tables.one(showing(), bad)["rows"][0]["cells"][7] == "<invalid>"
