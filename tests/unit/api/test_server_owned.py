"""What of an object no client sets, and what counts as a change of it."""

import pytest

from api import server_owned

STORED = {"name": "etl", "uid": "u", "generation": 3, "labels": {"a": "1"}, "deletionTimestamp": "t"}


def test_what_is_sent_and_what_is_kept_share_no_field():
    kept, sent = server_owned.kept(STORED), server_owned.sent(STORED)

    assert kept == {"name": "etl", "uid": "u", "generation": 3, "deletionTimestamp": "t"}
    assert sent == {"labels": {"a": "1"}}


def test_a_new_status_label_or_version_is_no_new_spec():
    one = {"apiVersion": "v1", "kind": "Job", "metadata": {"labels": {}}, "spec": {"a": 1}, "status": {"b": 2}}

    assert server_owned.spec(one) == server_owned.spec({"kind": "Job", "spec": {"a": 1}}) == {"spec": {"a": 1}}


@pytest.mark.parametrize(
    ("before", "named", "refused"),
    [
        ({"deletionTimestamp": "t", "finalizers": ["x"]}, ["x", "late"], True),
        ({"deletionTimestamp": "t", "finalizers": ["x"]}, ["x"], False),
        ({"deletionTimestamp": "t", "finalizers": ["x"]}, None, False),
        ({"deletionTimestamp": "t"}, "no list", False),
        ({"finalizers": ["x"]}, ["x", "late"], False),
    ],
)
def test_only_what_is_being_deleted_takes_no_new_finalizer(before, named, refused):
    assert bool(server_owned.added_finalizers(before, {"finalizers": named})) is refused
