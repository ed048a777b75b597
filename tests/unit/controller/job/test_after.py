from datetime import timedelta

import pytest

from api.meta import wire_time
from api.types.job import Reason, RunState
from api.types.job_after import AfterState, AfterStatus
from controller.job import after
from controller.job.plan import plan
from controller.job.report import report
from controller.job.steps import BeginRun, DeleteJob
from support.builders import NOW, a_job, a_run, observed_job, running, with_runs
from support.ordering import an_other


def settled(job, *others, cycle=(), now=NOW):
    return after.settle(job, {each["metadata"]["name"]: each for each in others}, cycle, now)


def waits(*names, condition="Complete", **fields):
    return a_job(after=[{"job": name, "condition": condition} for name in names], **fields)


def state_of(condition, other):
    return settled(waits("extract", condition=condition), other)[0].state


@pytest.mark.parametrize(
    ("condition", "ended", "state"),
    [
        ("Complete", None, "Waiting"),
        ("Complete", "Complete", "Met"),
        ("Complete", "Failed", "Never"),
        ("Failed", None, "Waiting"),
        ("Failed", "Complete", "Never"),
        ("Failed", "Failed", "Met"),
        ("Finished", None, "Waiting"),
        ("Finished", "Complete", "Met"),
        ("Finished", "Failed", "Met"),
    ],
)
def test_each_condition_holds_of_the_ends_that_it_names(condition, ended, state):
    assert state_of(condition, an_other("extract", ended=ended)) == state


def test_an_end_of_an_earlier_spec_is_not_one_of_the_present():
    assert state_of("Complete", an_other("extract", ended="Complete", generation=2, observed=1)) is AfterState.WAITING


def test_a_job_waits_with_a_reason_that_names_what_for():
    job = waits("extract", "check", condition="Failed")
    observed = observed_job(after=settled(job, an_other("extract"), an_other("check")))

    waiting = plan(job, observed).waiting

    assert (waiting.reason, waiting.message) == (
        "WaitingForJobs",
        "waits for job/extract to fail, job/check to fail",
    )


def test_of_very_many_it_names_the_first_and_counts_the_rest():
    job = waits(*(f"part-{number}" for number in range(9)))
    found = settled(job, *(an_other(f"part-{number}") for number in range(9)))

    assert after.waiting(found).endswith("job/part-4 to complete, and 4 more")


@pytest.mark.invariant("O1")
def test_a_run_begins_once_all_are_met():
    job = waits("extract", "check")
    one = observed_job(after=settled(job, an_other("extract", ended="Complete"), an_other("check")))
    both = observed_job(after=settled(job, *(an_other(name, ended="Complete") for name in ("extract", "check"))))

    assert plan(job, one).steps == ()
    assert plan(job, both).steps == (BeginRun(1),)


@pytest.mark.invariant("O1")
def test_what_was_met_stays_met_though_the_other_job_goes_or_fails_later():
    job = waits("extract")
    met = settled(job, an_other("extract", ended="Complete"))
    job = with_status(job, after=met)

    assert settled(job) == settled(job, an_other("extract", ended="Failed")) == met


def with_status(job, **status):
    update = {"observed_generation": 1, **status}
    return job.model_copy(update={"status": job.status.model_copy(update=update)})


@pytest.mark.invariant("O2")
def test_a_job_whose_condition_can_never_hold_has_failed_and_says_which_and_why():
    job = waits("extract")
    observed = observed_job(after=settled(job, an_other("extract", ended="Failed", reason="OOMKilled", message="big")))
    decided = plan(job, observed)

    status = report(job, observed, decided, work_bytes=None)

    assert decided.steps == ()
    assert (status.phase, status.reason) == ("Failed", "DependencyFailed")
    assert status.message == "it was to run after job/extract to complete, and that failed: OOMKilled: big"
    assert [(each.type, each.reason) for each in status.conditions] == [("Failed", "DependencyFailed")]


def test_it_stays_so_when_the_other_job_is_run_again_and_completes():
    job = waits("extract")
    observed = observed_job(after=settled(job, an_other("extract", ended="Failed")))
    failed = with_status(job, **vars(report(job, observed, plan(job, observed), work_bytes=None)))

    again = settled(failed, an_other("extract", ended="Complete"))

    assert again[0].state is AfterState.NEVER


def test_a_change_of_its_spec_has_it_look_again():
    job = waits("extract")
    observed = observed_job(after=settled(job, an_other("extract", ended="Failed")))
    failed = with_status(job, **vars(report(job, observed, plan(job, observed), work_bytes=None)))
    changed = failed.model_copy(update={"metadata": failed.meta.model_copy(update={"generation": 2})})

    found = settled(changed, an_other("extract", ended="Complete"))

    assert plan(changed, observed_job(after=found)).steps == (BeginRun(1),)


def test_a_job_that_is_not_there_is_waited_for_for_ten_minutes():
    job = waits("extract")
    first = settled(job)
    job = with_status(job, after=first)
    decided = plan(job, observed_job(after=first))

    later = settled(job, now=NOW + timedelta(seconds=599))
    at_last = settled(job, now=NOW + timedelta(seconds=600))

    assert (first[0].state, first[0].missing_since) == (AfterState.WAITING, wire_time(NOW))
    assert (decided.waiting.message, decided.check_again_seconds) == (
        "waits for job/extract to complete, which is not there so far",
        600,
    )
    assert later == first
    assert (at_last[0].state, at_last[0].reason) == (AfterState.NEVER, Reason.DEPENDENCY_FAILED)
    assert at_last[0].message.endswith("for 600 s there was none")


def test_a_job_that_comes_late_is_waited_for_like_any():
    job = with_status(waits("extract"), after=settled(waits("extract")))

    found = settled(job, an_other("extract"))

    assert (found[0].state, found[0].missing_since, found[0].uid) == (AfterState.WAITING, None, "uid-extract")


def test_a_job_that_was_seen_and_deleted_before_it_ended_is_not_waited_for():
    job = with_status(waits("extract"), after=settled(waits("extract"), an_other("extract")))

    found = settled(job)

    assert (found[0].state, found[0].reason) == (AfterState.NEVER, "DependencyFailed")
    assert found[0].message == "it was to run after job/extract to complete, and that was deleted before"


def test_another_job_of_its_name_takes_its_place():
    job = with_status(waits("extract"), after=settled(waits("extract"), an_other("extract", uid="first")))

    assert settled(job, an_other("extract", uid="second", ended="Complete"))[0].state is AfterState.MET


def test_jobs_that_wait_for_each_other_have_failed_and_name_each_other():
    job = waits("b")
    observed = observed_job(after=settled(job, an_other("b"), cycle=("etl", "b", "etl")))

    status = report(job, observed, plan(job, observed), work_bytes=None)

    assert (status.phase, status.reason) == ("Failed", "DependencyCycle")
    assert "etl waits for b, b waits for etl" in status.message


def test_of_a_ring_all_fail_though_one_that_failed_first_would_let_others_go_on():
    job = waits("b", condition="Finished")
    other = an_other("b", ended="Failed", reason="DependencyCycle")

    assert settled(job, other, cycle=("etl", "b", "etl"))[0].reason == "DependencyCycle"


def test_a_suspended_job_waits_as_suspended_and_still_notes_what_is_met():
    job = waits("extract", suspend=True)
    observed = observed_job(after=settled(job, an_other("extract", ended="Complete")))
    decided = plan(job, observed)

    status = report(job, observed, decided, work_bytes=None)

    assert decided.waiting.reason == "Suspended"
    assert [each.state for each in status.after] == [AfterState.MET]


def test_order_is_no_part_of_what_a_run_is_made_of():
    assert waits("extract").spec.template_hash() == a_job().spec.template_hash()


def test_a_run_that_runs_is_left_alone_whatever_is_to_be_waited_for_now():
    job = with_runs(waits("extract"), a_run(state=RunState.RUNNING))
    never = (AfterStatus(job="extract", condition="Complete", state="Never", reason="DependencyFailed", message="no"),)

    assert plan(job, observed_job(running(), after=never)).steps == ()


def test_a_job_is_not_deleted_before_those_that_wait_for_it_have_seen_its_end():
    ended = a_run(state=RunState.ENDED, reason="Completed", exit_code=0, finished_at="2026-01-02T03:04:04.000000Z")
    job = with_runs(a_job(ttlSecondsAfterFinished=0), ended)

    awaited = plan(job, observed_job(is_awaited=True))

    assert (awaited.steps, awaited.check_again_seconds) == ((), 1.0)
    assert plan(job, observed_job()).steps == (DeleteJob(),)
