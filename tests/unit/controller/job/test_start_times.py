"""A job that has a start time: what it waits for meanwhile, when it starts, what is told of it."""

from datetime import timedelta

import pytest

from api.conditions import ConditionStatus, find
from api.meta import wire_micro_time, wire_time
from api.types.job import RunState
from controller.engine.plan import Plan
from controller.job import verdict
from controller.job.observed import RuntimeMissing
from controller.job.plan import plan
from controller.job.report import report
from controller.job.steps import BeginRun, RequestRuntime, StartRun
from support.builders import NOW, a_failed_run, a_job, a_run, observed_job, running, with_runs

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
