"""`rnx wait` on the real API."""

import pytest

from api.cli.targets import Target
from api.cli.wait import test_of as meaning_of
from api.kinds import JOB, KINDS, NODE, POD, RUNTIME
from support.api_server import condition_of
from support.objects import a_job, a_runtime


@pytest.fixture
def etl(live):
    return live.create(JOB, a_job("etl"))


@pytest.mark.parametrize(
    "wanted", ["Complete", "condition=Complete", "condition=complete=True", "jsonpath={.status.phase}=Succeeded"]
)
def test_what_is_so_already_is_met_at_once(rnx, live, etl, wanted):
    live.set_status(JOB, "etl", phase="Succeeded", conditions=[condition_of("Complete")])

    said = rnx("wait", "job/etl", f"--for={wanted}")

    assert (said.code, said.out) == (0, "job.runwright.dev/etl condition met\n")


def test_what_becomes_so_is_met_then(live, etl, started):
    waiting = started("wait", "job/etl", "--for=Complete", "--timeout=30s")

    live.set_status(JOB, "etl", phase="Running")
    live.set_status(JOB, "etl", conditions=[condition_of("Complete")])

    assert waiting.ended().out == "job.runwright.dev/etl condition met\n"


def test_what_cannot_become_so_any_more_is_exit_code_1_with_why(rnx, live, etl):
    live.set_status(JOB, "etl", conditions=[condition_of("Failed", "OOMKilled", "it used all of its 64Mi")])

    said = rnx("wait", "job/etl", "--for=Complete")

    assert said.code == 1
    assert "cannot become Complete any more: it is Failed: it used all of its 64Mi" in said.err


def test_what_does_not_come_in_time_is_exit_code_4(rnx, etl):
    said = rnx("wait", "job", "etl", "--for=Complete", "--timeout=50ms")

    assert said.code == 4
    assert "timed out waiting for Complete of job.runwright.dev/etl" in said.err


def test_what_said_something_of_an_older_spec_is_not_met(rnx, live, etl):
    live.set_status(JOB, "etl", conditions=[condition_of("Complete") | {"observedGeneration": 1}])
    live.client.merge_patch(JOB, "default", "etl", {"spec": {"backoffLimit": 1}})

    assert rnx("wait", "job/etl", "--for=Complete", "--timeout=50ms").code == 4


def test_an_end_can_be_waited_for(live, etl, started):
    waiting = started("wait", "job/etl", "--for=delete")

    live.client.delete(JOB, "default", "etl")

    assert waiting.ended().out == "job.runwright.dev/etl deleted\n"


def test_a_beginning_can_be_waited_for(live, started):
    waiting = started("wait", "job/later", "--for=create")

    live.create(JOB, a_job("later"))

    assert waiting.ended().out == "job.runwright.dev/later created\n"


def test_all_of_a_kind_can_be_waited_for(rnx, live):
    live.create(JOB, a_job("etl", backoffLimit=6)), live.create(JOB, a_job("report", backoffLimit=6))

    assert rnx("wait", "jobs", "--all", "--for=jsonpath={.spec.backoffLimit}=6").lines == [
        "job.runwright.dev/etl condition met",
        "job.runwright.dev/report condition met",
    ]


def test_what_is_not_there_is_an_error(rnx, live):
    assert rnx("wait", "job/nope", "--for=Complete").code == 1


@pytest.mark.parametrize("wanted", ["jsonpath={.a[}=1", "condition=", "{.x}"])
def test_what_cannot_be_waited_for_is_wrong_usage(rnx, etl, wanted):
    assert rnx("wait", "job/etl", f"--for={wanted}").code == 2


@pytest.mark.parametrize("wanted", ["foo", "Completed", "condition=foo=false"])
def test_a_condition_that_no_job_has_is_wrong_usage_at_once(rnx, etl, wanted):
    said = rnx("wait", "job/etl", f"--for={wanted}", "--timeout=1h")

    name = wanted.removeprefix("condition=").partition("=")[0]
    assert said.code == 2
    assert (
        f'a job has no condition "{name}": use Complete, Failed, Scheduled, Suspended, create, delete or jsonpath={{.PATH}}=VALUE'
    ) in said.err


def test_conditions_of_other_kinds_are_theirs(rnx, live):
    live.create(RUNTIME, a_runtime("java-17"))
    live.set_status(RUNTIME, "java-17", conditions=[condition_of("Ready")])

    refused = rnx("wait", "runtime/java-17", "--for=Complete", "--timeout=1h")

    assert refused.code == 2
    assert 'a runtime has no condition "Complete": use DigestMismatch, Healthy, Ready, Repro' in refused.err
    assert rnx("wait", "runtime/java-17", "--for=condition=ready").code == 0


@pytest.mark.parametrize(
    "kind", [kind for kind in (*KINDS, POD, NODE) if kind.definition.conditions], ids=lambda kind: kind.name
)
def test_each_condition_of_a_kind_can_be_waited_for(kind):
    for type_ in kind.definition.conditions:
        met = meaning_of(type_, Target(kind, "x"))
        assert met({"status": {"conditions": [condition_of(type_)]}})
        assert not met({"status": {"conditions": []}})


def test_an_event_has_no_condition(rnx):
    said = rnx("wait", "event/x", "--for=Ready", "--timeout=1h")

    assert said.code == 2
    assert 'an event has no condition "Ready": use create, delete or jsonpath=' in said.err


def test_an_unknown_condition_is_told_before_anything_is_waited_for(rnx, etl):
    said = rnx("wait", "job/etl", "runtime/java-17", "--for=Complete", "--timeout=1h")

    assert said.code == 2
    assert "a runtime has no condition" in said.err
