"""What is known of access, as of now."""

import pytest

from api.access.directory import Directory
from api.kinds import CLUSTER_ROLE_BINDING, JOB, TOKEN
from api.objects.verbs import WriteOptions
from support.access import a_binding
from support.objects import a_job, open_verbs

WROTE = WriteOptions(field_manager="tests")


@pytest.fixture
def verbs(tmp_path):
    verbs, store = open_verbs(tmp_path)
    yield verbs
    store.close()


@pytest.fixture
def known(verbs):
    known = Directory(verbs.storage)
    known.current()
    return known


def a_token(name: str, digest: str):
    spec = {"user": "service:ci", "expires": "2030-01-01T00:00:00Z", "sha256": digest * 64}
    return {"apiVersion": TOKEN.api_version, "kind": "Token", "metadata": {"name": name}, "spec": spec}


def test_nothing_is_ready_before_the_store_was_read(verbs):
    assert Directory(verbs.storage).ready() is None


def test_it_stays_ready_while_others_write_what_is_not_of_access(verbs, known):
    before = known.ready()
    for number in range(5):
        verbs.create(JOB, "default", a_job(f"etl-{number}"), WROTE)
        assert known.ready() is before

    assert before is not None


@pytest.mark.invariant("A5")
def test_it_is_not_ready_once_something_of_access_is_written_and_current_has_that(verbs, known):
    verbs.create(TOKEN, "", a_token("ci", "a"), WROTE)

    assert known.ready() is None
    assert list(known.current().tokens) == ["a" * 64]
    assert known.ready() is known.current()


@pytest.mark.invariant("A5")
def test_what_is_revoked_is_not_in_what_is_ready_next(verbs, known):
    verbs.create(TOKEN, "", a_token("ci", "a"), WROTE)
    verbs.create(CLUSTER_ROLE_BINDING, "", a_binding("readers", "viewer", "User:ann"), WROTE)
    known.current()

    verbs.delete(TOKEN, "", "ci")

    assert known.ready() is None
    assert known.current().tokens == {}


@pytest.mark.invariant("A5")
def test_a_change_of_access_among_very_many_others_is_not_overlooked(verbs, known):
    verbs.create(TOKEN, "", a_token("ci", "a"), WROTE)
    for number in range(300):
        verbs.create(JOB, "default", a_job(f"etl-{number}"), WROTE)

    assert known.ready() is None
    assert list(known.current().tokens) == ["a" * 64]


def test_after_a_compaction_it_is_read_anew(verbs, known):
    for number in range(5):
        verbs.create(JOB, "default", a_job(f"etl-{number}"), WROTE)
    verbs.storage.compact(keep=0)

    assert known.ready() is None
    assert known.current().tokens == {}
