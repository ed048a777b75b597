import pytest

from api.conditions import Condition, ConditionStatus, find
from api.types.job import RunState
from controller.engine.errors import TransientError
from controller.engine.plan import Plan
from controller.job.observed import RuntimeReady
from controller.job.report import report, report_failure
from controller.job.steps import BeginRun, FreezeRun, StartRun, ThawRun
from support.builders import a_failed_run, a_job, a_run, exited, lost, observed_job, running, unclaimed, with_runs


def status_of(job, observed, plan=None):
    return report(job, observed, plan or Plan.nothing(), work_bytes=1 << 20)


def test_a_run_that_begins_is_put_on_record_with_its_boot_and_runtime():
    ready = RuntimeReady(name="python-3.11", version="1.3.2")

    status = status_of(
        a_job(), observed_job(unclaimed(), runtime=ready), Plan.once_recorded(StartRun(1, None), first=(BeginRun(1),))
    )

    assert [(run.attempt, run.state, run.runtime) for run in status.runs] == [
        (1, RunState.PENDING, "python-3.11@1.3.2")
    ]
    assert status.attempts == 1
    assert status.phase == "Pending"


def test_a_running_run_makes_the_job_running_and_starts_its_clock():
    status = status_of(with_runs(a_job(), a_run()), observed_job(running()), Plan.do(StartRun(1, None)))

    assert (status.phase, status.active, status.start_time) == ("Running", 1, "2026-01-02T03:04:00.000000Z")


def test_success_makes_the_job_complete():
    status = status_of(with_runs(a_job(), a_run(state=RunState.RUNNING)), observed_job(exited()))

    assert (status.phase, status.succeeded, status.failed) == ("Succeeded", 1, 0)
    assert find(status.conditions, "Complete").status == "True"
    assert status.completion_time == "2026-01-02T03:04:05.000000Z"


@pytest.mark.parametrize("reason", ["Error", "OOMKilled", "SandboxFailed", "ContainerCannotRun"])
def test_without_retries_the_job_fails_for_the_reason_of_its_run(reason):
    job = with_runs(a_job(backoffLimit=0), a_run(state=RunState.RUNNING))

    status = status_of(job, observed_job(exited(reason=reason, exit_code=137)))

    assert (status.phase, status.reason) == ("Failed", reason)
    assert find(status.conditions, "Failed").reason == reason


def test_a_deadline_fails_the_job_whatever_retries_are_left():
    job = with_runs(a_job(backoffLimit=6), a_run(state=RunState.RUNNING))

    assert status_of(job, observed_job(exited(reason="DeadlineExceeded", exit_code=143))).reason == "DeadlineExceeded"


def test_when_retries_are_used_up_the_reason_names_the_limit_and_the_last_failure():
    job = with_runs(a_job(backoffLimit=1), a_failed_run(1), a_run(2, RunState.RUNNING), failed=1)

    status = status_of(job, observed_job(exited(2, "OOMKilled", 137)))

    assert (status.phase, status.reason, status.failed) == ("Failed", "BackoffLimitExceeded", 2)
    assert "OOMKilled" in status.message


def test_a_lost_run_counts_as_a_failure_and_says_so():
    status = status_of(with_runs(a_job(), a_run(state=RunState.RUNNING)), observed_job(lost()))

    assert (status.failed, status.runs[0].reason) == (1, "RunLost")
    assert "left no exit record" in status.runs[0].message


def test_failures_are_counted_once_however_often_the_status_is_built():
    job = with_runs(a_job(), a_run(state=RunState.RUNNING))
    once = status_of(job, observed_job(exited(reason="Error", exit_code=1)))
    again = status_of(job.model_copy(update={"status": once}), observed_job(exited(reason="Error", exit_code=1)))

    assert (once.failed, again.failed) == (1, 1)


def test_a_replaced_run_uses_up_no_retry():
    job = with_runs(a_job(), a_run(state=RunState.RUNNING))

    assert status_of(job, observed_job(exited(reason="Superseded", exit_code=143))).failed == 0


def test_a_new_template_starts_counting_again():
    job = with_runs(a_job(backoffLimit=0), a_failed_run(template_hash="old"), failed=1, template_hash="old")

    status = status_of(job, observed_job())

    assert (status.failed, status.phase) == (0, "Pending")


def test_only_the_last_ten_runs_are_kept_and_all_are_counted():
    job = with_runs(
        a_job(backoffLimit=100), *(a_failed_run(n) for n in range(1, 11)), a_run(11, RunState.RUNNING), failed=10
    )

    status = status_of(job, observed_job(exited(11, "Error", 1)))

    assert [run.attempt for run in status.runs] == list(range(2, 12))
    assert (status.failed, status.attempts) == (11, 11)


def test_resuming_starts_the_deadline_anew_as_batch_v1_does():
    job = with_runs(a_job(activeDeadlineSeconds=60), a_run(state=RunState.RUNNING), start_time="2026-01-01T00:00:00Z")

    status = status_of(job, observed_job(running()), Plan.do(ThawRun(1, 60)))

    assert status.start_time == "2026-01-02T03:04:05.000000Z"


def test_resuming_starts_the_deadline_anew_though_the_pass_that_thawed_its_run_could_not_tell():
    start, run = "2026-01-01T00:00:00Z", a_run(state=RunState.RUNNING)
    suspended = with_runs(a_job(activeDeadlineSeconds=60, suspend=True), run, start_time=start)
    told = status_of(suspended, observed_job(running()), Plan.do(FreezeRun(1)))
    resumed = with_runs(a_job(activeDeadlineSeconds=60), run, start_time=start, conditions=told.conditions)

    status = status_of(resumed, observed_job(exited(1, "Error", 1)))

    assert told.start_time == start
    assert status.start_time == "2026-01-02T03:04:05.000000Z"


def test_waiting_is_told_with_its_reason():
    waiting = Plan.wait("RuntimeNotReady", "waiting for runtime/python-3.11")

    status = status_of(a_job(runtime="python-3.11"), observed_job(), waiting)

    assert (status.phase, status.reason, status.message) == ("Pending", "RuntimeNotReady", waiting.waiting.message)


def test_the_receipt_and_usage_of_a_run_reach_its_status():
    status = status_of(with_runs(a_job(), a_run(state=RunState.RUNNING)), observed_job(exited()))

    assert status.runs[0].usage.memory_peak_bytes == 0
    assert status.runs[0].receipt == {}


def test_a_failed_pass_is_told_without_forgetting_the_runs():
    job = with_runs(a_job(), a_run(state=RunState.RUNNING), active=1, phase="Running")

    status = report_failure(job, TransientError("LauncherDown", "cannot reach the launcher"))

    assert (status.phase, status.reason) == ("Running", "LauncherDown")
    assert status.runs == job.status.runs


def test_a_changed_job_that_could_not_be_looked_at_says_nothing_of_how_its_former_runs_ended():
    done = status_of(with_runs(a_job(), a_run(state=RunState.RUNNING)), observed_job(exited()))
    changed = a_job(command=["false"], backoffLimit=0).model_copy(update={"status": done})

    status = report_failure(changed, TransientError("HostError", "the disk is full"))

    assert (done.phase, status.phase, status.reason) == ("Succeeded", "Pending", "HostError")
    assert (status.conditions, status.completion_time, status.succeeded) == ((), None, 0)


def test_what_others_say_of_a_job_stays():
    billed = Condition(type="example.com/Billed", status=ConditionStatus.TRUE)
    job = with_runs(a_job(), a_run(state=RunState.RUNNING), conditions=(billed,))

    status = status_of(job, observed_job(exited()))

    assert [condition.type for condition in status.conditions] == ["Complete", "example.com/Billed"]
    assert status.conditions[1] == billed
