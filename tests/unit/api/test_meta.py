from datetime import UTC, datetime, timedelta, timezone

import pytest

from api.meta import ObjectKey, read_time, wire_micro_time, wire_time
from api.model import ObjectMeta
from api.types.job import Job
from support.objects import a_job

NOON = datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=UTC)


def test_a_key_prints_without_what_it_has_not():
    assert str(ObjectKey("Job", "default", "etl")) == "job/default/etl"
    assert str(ObjectKey("Runtime", "", "python-3.11")) == "runtime/python-3.11"


def test_a_key_is_read_from_an_object():
    assert ObjectKey.of(a_job(metadata={"namespace": "ns"})) == ObjectKey("Job", "ns", "etl")
    assert ObjectKey.of({"kind": "Runtime", "metadata": {"name": "x"}}) == ObjectKey("Runtime", "", "x")


def test_times_are_written_in_utc_and_read_back():
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5)))

    assert wire_time(elsewhere) == "2026-01-02T12:00:00Z"
    assert wire_micro_time(elsewhere) == "2026-01-02T12:00:00.123456Z"
    assert read_time(wire_micro_time(elsewhere)) == NOON
    assert read_time("2026-01-02T14:00:00+02:00") == NOON.replace(microsecond=0)


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="it has no zone: end it with Z"):
        read_time("2026-01-02T12:00:00")


def test_an_object_is_written_with_aliases_and_without_nulls():
    document = Job.model_validate(a_job(backoffLimit=2)).to_document()

    assert document["spec"]["backoffLimit"] == 2
    assert "runtime" not in document["spec"]
    assert "deletionTimestamp" not in document["metadata"]


def test_unknown_fields_of_a_stored_object_are_kept():
    document = Job.model_validate(a_job(fromTheFuture={"a": 1})).to_document()

    assert document["spec"]["fromTheFuture"] == {"a": 1}


def test_an_object_with_a_deletion_timestamp_is_deleting():
    assert ObjectMeta(deletion_timestamp="2026-01-02T12:00:00Z").is_deleting
    assert not ObjectMeta().is_deleting
