"""A job that has a start time: what it waits for meanwhile, when it starts, what is told of it."""

from datetime import timedelta

import pytest

from api.conditions import ConditionStatus, find
from api.meta import wire_micro_time, wire_time
from api.types.job import RunState
from controller.engine.plan import Plan
from controller.job import verdict
from controller.job.observed import Queued, RuntimeMissing
from controller.job.plan import plan
from controller.job.report import report
from controller.job.steps import AbandonRun, BeginRun, RequestRuntime, StartRun, StopRun, TakeBackRun
from support.builders import (
    NOW,
    a_failed_run,
    a_job,
    a_run,
    exited,
    held,
    lost,
    observed_job,
    running,
    unclaimed,
    with_runs,
)

LATER = NOW + timedelta(hours=3)
MISSING = RuntimeMissing("RuntimeNotReady", "waiting for runtime/python-3.11", ("python-3.11", "latest"))
STOP = {"annotations": {verdict.STOP_ANNOTATION: "2026-01-02T03:04:05Z"}}


def scheduled(seconds: float = 0, **fields):
    return a_job(startAt=wire_micro_time(LATER + timedelta(seconds=seconds)), **fields)


@pytest.mark.invariant("T1")
def test_a_job_waits_for_its_start_time_and_says_when_it_is():
    waiting = plan(scheduled(), observed_job())

    assert waiting == Plan.wait("Scheduled", f"it starts at {wire_time(LATER)}", 3 * 3600)


@pytest.mark.invariant("T1")
@pytest.mark.parametrize("moment", [LATER, LATER + timedelta(days=400)])
def test_at_its_start_time_and_ever_after_it_starts(moment):
    assert plan(scheduled(), observed_job(now=moment)) == Plan.once_recorded(StartRun(1, None), first=(BeginRun(1),))


def test_it_does_not_start_a_microsecond_early():
    early = LATER - timedelta(microseconds=1)

    assert plan(scheduled(), observed_job(now=early)).steps == ()


def test_a_start_time_in_the_past_starts_it_at_once():
    assert plan(a_job(startAt="2020-01-01T00:00:00Z"), observed_job()) == Plan.once_recorded(
        StartRun(1, None), first=(BeginRun(1),)
    )


def test_a_start_time_of_another_zone_is_the_same_moment():
    assert plan(a_job(startAt="2026-01-02T05:04:05+02:00"), observed_job()).steps == (BeginRun(1),)


def test_one_that_is_far_away_is_looked_at_every_day():
    assert plan(a_job(startAt="9999-12-31T23:59:59Z"), observed_job()).check_again_seconds == 86_400


def test_its_runtime_is_asked_for_ahead_of_time():
    waiting = plan(scheduled(runtime="python-3.11"), observed_job(runtime=MISSING))

    assert waiting.steps == (RequestRuntime("python-3.11", "latest"),)
    assert waiting.waiting.reason == "Scheduled"
    assert waiting.waiting.message.endswith("not ready for it so far: RuntimeNotReady: waiting for runtime/python-3.11")
    assert waiting.check_again_seconds == 30


def test_what_else_would_keep_it_is_told_before_the_time_has_come():
    waiting = plan(scheduled(), observed_job(forbidden="spec.x: Forbidden"))

    assert waiting.waiting.message == (
        f"it starts at {wire_time(LATER)}; not ready for it so far: PolicyForbids: spec.x: Forbidden"
    )


def test_a_job_whose_time_has_come_waits_for_what_it_lacks():
    missing = observed_job(runtime=MISSING, now=LATER)

    assert plan(scheduled(runtime="python-3.11"), missing).waiting.reason == "RuntimeNotReady"


def test_a_suspended_job_is_suspended_first():
    assert plan(scheduled(suspend=True), observed_job()).waiting.reason == "Suspended"


def test_a_retry_is_as_soon_as_ever_after_the_start_time():
    job = with_runs(scheduled(-4 * 3600), a_failed_run(seconds_ago=100), failed=1)

    assert plan(job, observed_job()).steps == (BeginRun(2),)


def test_a_run_that_runs_is_left_alone_when_a_start_time_is_set():
    job = with_runs(scheduled(), a_run(state=RunState.RUNNING, receipt={"memoryBytes": 1}))

    assert plan(job, observed_job(running())) == Plan.nothing()


def test_a_start_time_makes_no_other_run_of_it():
    assert scheduled().spec.template_hash() == a_job().spec.template_hash()


def test_the_status_says_when_it_starts():
    job, observed = scheduled(), observed_job()
    status = report(job, observed, plan(job, observed), work_bytes=1)

    condition = find(status.conditions, "Scheduled")
    assert (status.phase, status.reason) == ("Pending", "Scheduled")
    assert status.message == condition.message == f"it starts at {wire_time(LATER)}"
    assert condition.status is ConditionStatus.TRUE


def test_when_it_is_due_the_condition_says_so():
    job, observed = scheduled(), observed_job()
    job = job.model_copy(update={"status": report(job, observed, plan(job, observed), work_bytes=1)})
    due = observed_job(now=LATER)
    status = report(job, due, plan(job, due), work_bytes=1)

    condition = find(status.conditions, "Scheduled")
    assert (condition.status, condition.reason) == (ConditionStatus.FALSE, "Due")


def test_a_job_that_is_stopped_before_its_time_is_cancelled_and_stays_so():
    job = scheduled(meta=STOP)
    status = report(job, observed_job(), plan(job, observed_job()), work_bytes=1)
    cancelled = job.model_copy(update={"status": status})

    assert (status.phase, status.reason) == ("Failed", "Canceled")
    assert plan(cancelled, observed_job(now=LATER)) == Plan.nothing()
    assert verdict.of(cancelled, (), LATER).reason == "Canceled"


def test_one_that_is_stopped_when_its_time_has_come_is_stopped():
    assert verdict.of(scheduled(meta=STOP), (), LATER).reason == "Stopped"


EARLY = LATER - timedelta(seconds=20)
"""When a run that is to be ready at LATER is made ready."""
TAKEN_BACK = "Rescheduled"


def early_on(now=EARLY, *runs, **fields):
    return observed_job(*runs, now=now, ready_from=EARLY, **fields)


def held_job(**fields):
    return with_runs(scheduled(**fields), a_run())


@pytest.mark.invariant("T1")
def test_one_of_many_is_begun_ahead_and_told_to_hold_its_command_until_its_time():
    begun = plan(scheduled(), early_on())

    assert (begun.steps, begun.then) == ((BeginRun(1),), (StartRun(1, None, LATER),))
    assert begun.waiting == plan(scheduled(), observed_job()).waiting


def test_it_waits_until_then_and_no_longer():
    assert plan(scheduled(), early_on(NOW)).check_again_seconds == 3 * 3600 - 20


@pytest.mark.parametrize(
    "obstacle",
    [
        {"forbidden": "spec.x: Forbidden"},
        {"runtime": MISSING},
        {"turn": Queued("HostBusy", "full")},
        {"unresolved": "no Secret"},
    ],
)
def test_what_would_keep_it_from_starting_keeps_it_from_being_made_ready(obstacle):
    waiting = plan(scheduled(), early_on(**obstacle))

    assert (waiting.then, waiting.waiting.reason) == ((), "Scheduled")


def test_a_run_that_was_to_be_made_ready_when_all_was_killed_is_made_ready_then():
    assert plan(held_job(), early_on(EARLY, unclaimed())).then == (StartRun(1, None, LATER),)


def test_one_that_is_found_when_its_time_is_over_holds_nothing():
    assert plan(held_job(), early_on(LATER, unclaimed())).then == (StartRun(1, None),)


def test_one_that_is_ready_is_left_alone_and_told_as_one_that_waits():
    job, observed = held_job(), early_on(EARLY, held(LATER))
    waiting = plan(job, observed)
    status = report(job, observed, waiting, work_bytes=1)

    assert waiting == Plan.wait("Scheduled", f"it starts at {wire_time(LATER)}", 21)
    assert (status.phase, status.reason, status.active, status.start_time) == ("Pending", "Scheduled", 0, None)
    assert status.runs[0].state is RunState.PENDING


def test_one_that_has_begun_by_itself_is_a_run_as_any_other():
    job, observed = held_job(), early_on(LATER, held(LATER, began=LATER + timedelta(microseconds=7)))
    status = report(job, observed, plan(job, observed), work_bytes=1)

    assert (status.phase, status.active) == ("Running", 1)
    assert status.start_time == status.runs[0].started_at == wire_micro_time(LATER + timedelta(microseconds=7))


def test_one_that_waits_for_a_cpu_at_its_time_is_looked_at_again():
    assert plan(held_job(), early_on(LATER, held(LATER))).check_again_seconds == 1


@pytest.mark.invariant("T1")
@pytest.mark.parametrize(
    ("fields", "observed"),
    [
        ({"seconds": 60}, {}),
        ({"seconds": -7}, {}),
        ({"suspend": True}, {}),
        ({}, {"forbidden": "spec.x: Forbidden"}),
    ],
    ids=["later", "sooner", "suspended", "forbidden"],
)
def test_one_that_is_not_to_begin_then_is_taken_back(fields, observed):
    decided = plan(held_job(**fields), early_on(EARLY, held(LATER), **observed))

    assert decided == Plan.do(TakeBackRun(1), check_again_seconds=1)


def test_one_of_a_job_without_a_start_time_any_more_is_taken_back():
    assert plan(with_runs(a_job(), a_run()), early_on(EARLY, held(LATER))).steps == (TakeBackRun(1),)


def test_one_that_is_held_as_the_clock_was_set_back_by_hours_is_taken_back():
    observed = observed_job(held(LATER), now=LATER - timedelta(hours=1))

    assert plan(held_job(), observed).steps == (TakeBackRun(1),)


def test_one_on_record_whose_job_was_put_off_for_long_never_begins():
    decided = plan(with_runs(scheduled(3600), a_run()), early_on(EARLY, unclaimed()))

    assert decided.then == (AbandonRun(1, TAKEN_BACK, "its job is to start at another time"),)


def test_one_whose_spec_was_changed_is_superseded():
    job = with_runs(scheduled(), a_run(template_hash="another"))

    assert plan(job, early_on(EARLY, held(LATER))).steps == (StopRun(1, "Superseded", 30.0),)


def test_one_that_was_taken_back_is_no_failure_and_another_begins_when_it_is_due():
    job, observed = held_job(backoffLimit=0), early_on(EARLY, exited(1, TAKEN_BACK, None, began=False))
    status = report(job, observed, plan(job, observed), work_bytes=1)
    taken_back = job.model_copy(update={"status": status})
    after, at_its_time = plan(taken_back, early_on()), plan(taken_back, early_on(LATER))

    assert (status.phase, status.failed) == ("Pending", 0)
    assert after.steps == ()
    assert at_its_time.steps == (BeginRun(2),)


@pytest.mark.parametrize("reason", ["SandboxFailed", "OOMKilled", "PodDeleted", "RunLost"])
def test_a_failure_before_its_time_is_waited_with_until_it(reason):
    job = with_runs(scheduled(), a_failed_run(seconds_ago=0, reason=reason), failed=1)

    assert plan(job, early_on()).steps == ()


def test_one_that_began_while_it_was_taken_back_has_failed():
    job, observed = held_job(), early_on(EARLY, exited(1, TAKEN_BACK, 137))

    assert report(job, observed, plan(job, observed), work_bytes=1).failed == 1


@pytest.mark.parametrize(("now", "began", "failed"), [(EARLY, None, 0), (LATER, None, 1), (EARLY, LATER, 1)])
def test_one_that_was_lost_is_a_failure_only_if_it_may_have_begun(now, began, failed):
    """As the clock may have been set back since."""
    job, observed = held_job(), early_on(now, lost(1, LATER, began))

    assert report(job, observed, plan(job, observed), work_bytes=1).failed == failed


def test_a_job_that_is_stopped_while_its_run_is_ready_is_canceled():
    job = scheduled(meta=STOP)
    stopping = plan(with_runs(job, a_run()), early_on(EARLY, held(LATER)))
    ended = early_on(EARLY, exited(1, "Stopped", None, began=False))
    stopped = with_runs(job, a_run())
    status = report(stopped, ended, plan(stopped, ended), work_bytes=1)

    assert stopping.steps == (StopRun(1, "Stopped", 30.0),)
    assert (status.phase, status.reason) == ("Failed", "Canceled")


def test_a_job_that_is_stopped_before_its_run_is_claimed_never_has_one():
    decided = plan(with_runs(scheduled(meta=STOP), a_run()), early_on(EARLY, unclaimed()))

    assert decided.then == (AbandonRun(1, "Stopped", "it was asked to stop"),)
