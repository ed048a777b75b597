"""`rnx delete` on the real API."""

import pytest

from api.errors import NotFound
from api.kinds import JOB
from support.objects import a_job


def test_objects_are_deleted_by_name(rnx, live):
    live.create(JOB, a_job("a")), live.create(JOB, a_job("b"))

    assert rnx("delete", "job", "a", "b").lines == ['job.runwright.dev "a" deleted', 'job.runwright.dev "b" deleted']
    with pytest.raises(NotFound):
        live.get(JOB, "a")


def test_it_waits_until_the_object_is_gone(live, started):
    live.create(JOB, a_job("a"), held=True)
    deleting = started("delete", "job/a")
    assert deleting.line() == 'job.runwright.dev "a" deleted\n'

    live.let_go(JOB, "a")

    assert deleting.ended().code == 0


def test_a_new_object_of_the_name_is_another_one(live, started):
    live.create(JOB, a_job("a"), held=True)
    deleting = started("delete", "job/a")
    deleting.line()

    live.let_go(JOB, "a")
    live.create(JOB, a_job("a"))

    assert deleting.ended().code == 0


def test_what_does_not_go_in_time_is_exit_code_4_with_what_holds_it(rnx, live):
    live.create(JOB, a_job("a"), held=True)

    said = rnx("delete", "job/a", "--timeout=100ms")

    assert said.code == 4
    assert "its finalizers are runwright.dev/job" in said.err


def test_it_need_not_wait(rnx, live):
    live.create(JOB, a_job("a"), held=True)

    assert rnx("delete", "job/a", "--wait=false").code == 0
    assert live.get(JOB, "a")["metadata"]["deletionTimestamp"]


def test_what_files_name_is_deleted(rnx, live, tmp_path):
    live.create(JOB, a_job("a"))
    (tmp_path / "a.yaml").write_text("apiVersion: runwright.dev/v1alpha1\nkind: Job\nmetadata: {name: a}\n")

    assert rnx("delete", "-f", str(tmp_path / "a.yaml")).lines == ['job.runwright.dev "a" deleted']


def test_all_or_those_with_labels_are_deleted(rnx, live):
    live.create(JOB, a_job("a", metadata={"labels": {"x": "1"}}))
    live.create(JOB, a_job("b")), live.create(JOB, a_job("c"))

    assert rnx("delete", "jobs", "-l", "x=1", "-o", "name").lines == ["job.runwright.dev/a"]
    assert rnx("delete", "jobs", "--all", "-o", "name").lines == ["job.runwright.dev/b", "job.runwright.dev/c"]


def test_a_dry_run_deletes_nothing(rnx, live):
    live.create(JOB, a_job("a"))

    assert rnx("delete", "job/a", "--dry-run=server").out == 'job.runwright.dev "a" deleted (server dry run)\n'
    assert live.get(JOB, "a")


def test_what_is_not_there_is_told_unless_that_is_fine(rnx, live):
    live.create(JOB, a_job("a"))

    said = rnx("delete", "job", "nope", "a")

    assert (said.code, said.out) == (1, 'job.runwright.dev "a" deleted\n')
    assert '"nope" not found' in said.err
    assert rnx("delete", "job/nope", "--ignore-not-found").code == 0


@pytest.mark.parametrize("arguments", [[], ["jobs"], ["job/a", "--all"], ["job/a", "-f", "x"]])
def test_what_would_delete_too_much_or_nothing_is_wrong_usage(rnx, arguments):
    assert rnx("delete", *arguments).code == 2
