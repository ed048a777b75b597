from dataclasses import replace
from datetime import timedelta

import pytest

from api.meta import read_time, wire_time
from api.types.job import RunState
from controller.engine.plan import Plan
from controller.job.observed import Queued, RuntimeMissing, RuntimeReady
from controller.job.plan import plan, would_begin
from controller.job.report import report
from controller.job.steps import (
    AbandonRun,
    BeginRun,
    DeleteJob,
    FreezeRun,
    KillRun,
    RemoveLogs,
    RemoveRun,
    RequestRuntime,
    SetDeadline,
    StartRun,
    StopRun,
    ThawRun,
)
from controller.launcher.records import Running
from support.builders import (
    BOOT,
    NOW,
    a_failed_run,
    a_job,
    a_run,
    exited,
    lost,
    observed_job,
    running,
    unclaimed,
    with_runs,
)

RUNNING = RunState.RUNNING
BEGAN = read_time("2026-01-02T03:04:00Z")
"""When `running()` did."""


def test_a_new_job_puts_its_first_run_on_record_before_it_starts_it():
    assert plan(a_job(), observed_job()) == Plan.once_recorded(StartRun(1, None), first=(BeginRun(1),))


def test_a_run_on_record_that_nobody_claimed_is_started():
    assert plan(with_runs(a_job(), a_run()), observed_job(unclaimed())) == Plan.once_recorded(StartRun(1, None))


def test_a_run_on_record_whose_directory_is_not_there_yet_is_started():
    assert plan(with_runs(a_job(), a_run()), observed_job()).then == (StartRun(1, None),)


def test_a_run_directory_without_a_record_is_cleared_before_anything_begins():
    assert plan(a_job(), observed_job(unclaimed())) == Plan.once_recorded(RemoveRun(1))


def test_a_running_run_is_left_alone():
    job = with_runs(a_job(), a_run(state=RUNNING, receipt={"memoryBytes": 1}))

    assert plan(job, observed_job(running())) == Plan.nothing()


def test_a_running_run_is_looked_at_ever_less_often_until_its_receipt_is_there():
    job = with_runs(a_job(), a_run(state=RUNNING))

    looks = [plan(job, observed_job(running(), now=BEGAN + timedelta(seconds=age))) for age in (0, 0.1, 8, 3600)]

    assert looks == [Plan.nothing(seconds) for seconds in (0.5, 0.5, 8, 3600)]


def test_an_end_is_put_on_record_before_the_run_is_removed():
    job = with_runs(a_job(), a_run(state=RUNNING))

    assert plan(job, observed_job(exited())) == Plan(then=(RemoveRun(1),))


@pytest.mark.parametrize(
    "spec", [{"ttlSecondsAfterFinished": 0}, {"artifacts": ["out"]}, {"backoffLimit": 3}, {"completions": 2}]
)
def test_where_more_may_come_of_an_end_it_is_looked_at_again(spec):
    job = with_runs(a_job(**spec), a_run(state=RUNNING))
    ended = exited(reason="Error", exit_code=1) if "backoffLimit" in spec else exited()

    assert plan(job, observed_job(ended)) == Plan.once_recorded(RemoveRun(1))


def test_an_ended_run_on_record_is_removed_from_the_host():
    job = with_runs(a_job(), a_run(state=RunState.ENDED, reason="Completed", exit_code=0))

    assert plan(job, observed_job(exited())) == Plan.do(RemoveRun(1))


def test_a_finished_job_needs_nothing():
    job = with_runs(a_job(), a_run(state=RunState.ENDED, reason="Completed", exit_code=0))

    assert plan(job, observed_job()) == Plan.nothing()


def test_a_failed_run_is_retried_after_its_backoff():
    job = with_runs(a_job(backoffSeconds=10), a_failed_run(seconds_ago=4), failed=1)

    waiting = plan(job, observed_job())

    assert waiting.steps == ()
    assert waiting.waiting.reason == "BackOff"
    assert waiting.check_again_seconds == pytest.approx(6)


def test_the_backoff_doubles_with_each_failure_and_is_never_over_six_minutes():
    job = a_job(backoffSeconds=10, backoffLimit=100)
    thrice = with_runs(job, a_failed_run(3), failed=3, attempts=3)
    often = with_runs(job, a_failed_run(50), failed=50, attempts=50)

    assert plan(thrice, observed_job()).check_again_seconds == pytest.approx(40)
    assert plan(often, observed_job()).check_again_seconds == pytest.approx(360)


def test_after_the_backoff_the_next_run_begins():
    job = with_runs(a_job(backoffSeconds=10), a_failed_run(seconds_ago=11), failed=1)

    assert plan(job, observed_job()) == Plan.once_recorded(StartRun(2, None), first=(BeginRun(2),))


def test_a_job_over_its_backoff_limit_begins_no_more_runs():
    job = with_runs(a_job(backoffLimit=1), a_failed_run(1), a_failed_run(2, seconds_ago=100), failed=2)

    assert plan(job, observed_job()).steps == ()


def test_a_lost_run_is_retried_and_never_started_again_under_its_number():
    job = with_runs(a_job(backoffSeconds=1), a_run(state=RUNNING))

    assert plan(job, observed_job(lost())) == Plan.once_recorded(RemoveRun(1))


def test_a_pending_run_of_another_boot_is_not_started():
    job = with_runs(a_job(), a_run(boot_id="another"))

    decided = plan(job, observed_job(unclaimed()))

    assert StartRun(1, None) not in (*decided.steps, *decided.then)


def test_a_changed_template_stops_the_run_and_begins_another():
    old = with_runs(a_job(), a_run(state=RUNNING, template_hash="old"))

    assert plan(old, observed_job(running())).steps == (StopRun(1, "Superseded", 30),)


def test_a_changed_template_abandons_a_run_that_was_not_started():
    old = with_runs(a_job(), a_run(template_hash="old"))

    assert plan(old, observed_job(unclaimed())).then == (AbandonRun(1, "Superseded", "the job's spec was changed"),)


def test_a_completed_job_runs_again_when_its_template_changes():
    done = a_run(state=RunState.ENDED, reason="Completed", exit_code=0, template_hash="old")
    job = with_runs(a_job(), done, template_hash="old")

    assert plan(job, observed_job()) == Plan.once_recorded(StartRun(2, None), first=(BeginRun(2),))


def test_a_template_that_is_changed_back_runs_again():
    first = a_run(1, RunState.ENDED, reason="Completed", exit_code=0)
    other = a_run(2, RunState.ENDED, reason="Completed", exit_code=0, template_hash="other")
    job = with_runs(a_job(), first, other, template_hash="other")

    assert plan(job, observed_job()) == Plan.once_recorded(StartRun(3, None), first=(BeginRun(3),))


def test_a_template_that_is_changed_back_has_its_whole_deadline_again():
    long_ago = wire_time(NOW - timedelta(seconds=1000))
    first = a_run(1, RunState.ENDED, reason="Completed", exit_code=0, started_at=long_ago)
    other = a_run(2, RunState.ENDED, reason="Completed", exit_code=0, template_hash="other")
    job = with_runs(a_job(activeDeadlineSeconds=60), first, other, a_run(3))

    assert plan(job, observed_job(unclaimed(3))).then == (StartRun(3, 60),)


def test_suspending_freezes_a_running_run_and_resuming_thaws_it():
    job = with_runs(a_job(suspend=True), a_run(state=RUNNING))
    resumed = with_runs(a_job(activeDeadlineSeconds=60), a_run(state=RUNNING))

    assert plan(job, observed_job(running())).steps == (FreezeRun(1),)
    assert plan(job, observed_job(running(frozen=True))).steps == ()
    assert plan(resumed, observed_job(running(frozen=True))).steps == (ThawRun(1, 60),)


def test_a_frozen_run_whose_supervisor_was_killed_is_ended():
    job = with_runs(a_job(suspend=True), a_run(state=RUNNING))
    killed = replace(running(frozen=True), record=Running(4711, 99, "2026-01-02T03:04:00Z", is_ending=True))

    assert plan(job, observed_job(killed)).steps == (KillRun(1),)


def test_a_suspended_job_begins_no_run():
    assert plan(a_job(suspend=True), observed_job()) == Plan.wait("Suspended", "spec.suspend is true")


def test_a_new_deadline_reaches_a_running_run():
    job = with_runs(
        a_job(activeDeadlineSeconds=100), a_run(state=RUNNING), start_time=wire_time(NOW - timedelta(seconds=30))
    )

    assert plan(job, observed_job(running())).steps == (SetDeadline(1, 70),)


def test_a_deadline_that_its_supervisor_knows_is_not_sent_again():
    job = with_runs(a_job(activeDeadlineSeconds=100), a_run(state=RUNNING, deadline_seconds=100))

    assert plan(job, observed_job(running())).steps == ()


def test_a_deadline_that_passes_between_runs_ends_the_job():
    start = wire_time(NOW - timedelta(seconds=61))
    job = with_runs(a_job(activeDeadlineSeconds=60), a_failed_run(), start_time=start, failed=1)

    assert plan(job, observed_job()).steps == ()


LACKING = {
    "references": {"unresolved": 'Secret "key" not found'},
    "runtime": {"runtime": RuntimeMissing("RuntimeNotReady", "python-3.11 is not installed")},
    "policy": {"forbidden": "jobs must have a deadline"},
    "nothing": {},
}


def a_retry(seconds_ago, **spec):
    """A second run that is on record, of a job whose first one started so many seconds ago."""
    start = wire_time(NOW - timedelta(seconds=seconds_ago))
    job = a_job(activeDeadlineSeconds=60, **spec)
    return with_runs(job, a_failed_run(), a_run(2), start_time=start, failed=1)


@pytest.mark.parametrize("lacking", LACKING)
def test_a_deadline_that_passes_while_a_run_on_record_waits_ends_the_job(lacking):
    job, seen = a_retry(61), observed_job(unclaimed(2), **LACKING[lacking])
    wanted = plan(job, seen)
    given_up = exited(2, "DeadlineExceeded", None)
    after = report(job, observed_job(given_up), plan(job, observed_job(given_up)), work_bytes=None)

    why = "it did not finish within activeDeadlineSeconds, 60"
    assert wanted == Plan.once_recorded(AbandonRun(2, "DeadlineExceeded", why))
    assert (after.phase, after.reason) == ("Failed", "DeadlineExceeded")


@pytest.mark.parametrize("lacking", ["references", "runtime"])
def test_a_run_on_record_that_waits_is_looked_at_when_its_deadline_passes(lacking):
    assert plan(a_retry(50), observed_job(unclaimed(2), **LACKING[lacking])).check_again_seconds == 10


def test_a_job_that_may_not_run_again_is_looked_at_when_its_deadline_passes():
    start = wire_time(NOW - timedelta(seconds=50))
    job = with_runs(a_job(activeDeadlineSeconds=60), a_failed_run(), start_time=start, failed=1)

    assert plan(job, observed_job(forbidden="no")).check_again_seconds == 10


def test_a_run_on_record_that_is_suspended_has_its_whole_deadline_when_it_is_not_any_more():
    job, seen = a_retry(61, suspend=True), observed_job(unclaimed(2))
    wanted = plan(job, seen)

    assert wanted == Plan.wait("Suspended", "spec.suspend is true")
    assert report(job, seen, wanted, work_bytes=None).start_time is None


def test_a_missing_runtime_is_asked_for_and_waited_for():
    missing = RuntimeMissing("RuntimeNotReady", "python-3.11 is not installed", ("python-3.11", "latest"))

    wanted = plan(a_job(runtime="python-3.11"), observed_job(runtime=missing))

    assert wanted.steps == (RequestRuntime("python-3.11", "latest"),)
    assert wanted.waiting.reason == "RuntimeNotReady"


def test_a_limit_that_the_host_cannot_hold_to_stops_the_job_with_the_fix():
    wanted = plan(a_job(), observed_job(unenforceable="cgroup v2 has no memory controller: boot with …"))

    assert wanted.waiting.reason == "LimitUnenforceable"
    assert wanted.steps == ()


def test_limits_below_what_the_runtime_needs_are_refused():
    job = a_job(runtime="python-3.11", resources={"limits": {"memory": "64Mi"}})
    ready = RuntimeReady(name="python-3.11", version="1.0.0", min_memory_bytes=512 << 20)

    waiting = plan(job, observed_job(runtime=ready)).waiting

    assert waiting.reason == "RequirementsNotMet"
    assert "needs 512Mi of memory, spec.resources.limits.memory is 64Mi: raise it" in waiting.message


def test_a_stop_request_stops_the_run():
    job = with_runs(a_job(meta={"annotations": {"runwright.dev/stop-requested": "now"}}), a_run(state=RUNNING))

    assert plan(job, observed_job(running())).steps == (StopRun(1, "Stopped", 30),)


def test_a_run_whose_pod_was_deleted_is_stopped_with_the_grace_that_was_said():
    meta = {"annotations": {"runwright.dev/deleted-pods": '{"1":["2026-01-02T03:04:05Z",3]}'}}
    job = with_runs(a_job(meta=meta), a_run(state=RUNNING))

    assert plan(job, observed_job(running())).steps == (StopRun(1, "PodDeleted", 3),)


def test_a_run_whose_pod_was_deleted_is_followed_by_another():
    meta = {"annotations": {"runwright.dev/deleted-pods": '{"1":["2026-01-02T03:04:05Z",3]}'}}
    job = with_runs(a_job(meta=meta), a_run(2, state=RUNNING))

    assert plan(job, observed_job(running(2))).steps == ()


def test_a_run_that_was_about_to_be_frozen_is_thawed_when_it_is_to_run():
    job = with_runs(a_job(), a_run(state=RUNNING))

    assert plan(job, observed_job(running(may_be_frozen=True))).steps == (ThawRun(1, None),)


def test_a_longer_grace_of_the_deletion_wins_over_the_jobs_own():
    meta = {"deletionTimestamp": "2026-01-02T03:04:05Z", "deletionGracePeriodSeconds": 60}
    job = with_runs(a_job(meta=meta, terminationGracePeriodSeconds=1), a_run(state=RUNNING))

    assert plan(job, observed_job(running())).steps == (StopRun(1, "Stopped", 60),)


def test_a_shorter_grace_is_sent_to_a_run_that_is_stopping():
    meta = {"deletionTimestamp": "2026-01-02T03:04:05Z", "deletionGracePeriodSeconds": 0}
    stopping = running(stop_sent_at=NOW, stop_grace_seconds=120)

    assert plan(with_runs(a_job(meta=meta), a_run(state=RUNNING)), observed_job(stopping)).steps == (
        StopRun(1, "Stopped", 0),
    )


def test_a_stopped_job_runs_again_when_it_is_changed():
    stopped = {"stop_request": "then", "stopped_template_hash": "old", "template_hash": "old"}
    job = a_job(meta={"annotations": {"runwright.dev/stop-requested": "then"}})
    ended = a_run(state=RunState.ENDED, reason="Stopped", exit_code=143, template_hash="old")

    assert plan(with_runs(job, ended, **stopped), observed_job()) == Plan.once_recorded(
        StartRun(2, None), first=(BeginRun(2),)
    )


def test_a_run_that_does_not_heed_a_stop_is_killed():
    job = with_runs(a_job(terminationGracePeriodSeconds=5), a_run(state=RUNNING, template_hash="old"))
    stubborn = running(stop_sent_at=NOW - timedelta(seconds=21))

    assert plan(job, observed_job(stubborn)).steps == (KillRun(1),)


def test_deleting_stops_a_running_run_first_and_thaws_it_for_that():
    job = with_runs(a_job(meta={"deletionTimestamp": "2026-01-02T03:04:05Z"}), a_run(state=RUNNING))

    assert plan(job, observed_job(running(frozen=True))).steps == (ThawRun(1, None), StopRun(1, "Stopped", 30))


def test_a_shorter_grace_of_the_deletion_wins():
    meta = {"deletionTimestamp": "2026-01-02T03:04:05Z", "deletionGracePeriodSeconds": 0}

    assert plan(with_runs(a_job(meta=meta), a_run(state=RUNNING)), observed_job(running())).steps == (
        StopRun(1, "Stopped", 0),
    )


def test_deleting_removes_runs_and_logs_once_nothing_runs():
    job = with_runs(a_job(meta={"deletionTimestamp": "2026-01-02T03:04:05Z"}), a_run(state=RUNNING))

    assert plan(job, observed_job(exited(), logs_present=True)).steps == (RemoveRun(1), RemoveLogs())


def test_deleting_makes_sure_that_a_run_on_record_never_starts():
    job = with_runs(a_job(meta={"deletionTimestamp": "2026-01-02T03:04:05Z"}), a_run())

    assert plan(job, observed_job(unclaimed())).then == (AbandonRun(1, "Stopped", "the job was deleted"),)


def test_a_finished_job_is_deleted_after_its_time_to_live():
    ended = a_run(state=RunState.ENDED, reason="Completed", exit_code=0, finished_at="2026-01-02T03:04:00.000000Z")
    fresh = with_runs(a_job(ttlSecondsAfterFinished=60), ended)
    stale = with_runs(a_job(ttlSecondsAfterFinished=5), ended)

    assert plan(fresh, observed_job()) == Plan.nothing(check_again_seconds=55)
    assert plan(stale, observed_job()) == Plan.do(DeleteJob())


def test_a_finished_job_that_a_manifest_declares_is_kept_since_it_would_be_made_again():
    ended = a_run(state=RunState.ENDED, reason="Completed", exit_code=0, finished_at="2026-01-02T03:04:00.000000Z")
    declared = {"managedFields": [{"manager": "manifests/directory", "operation": "Apply"}]}

    assert plan(with_runs(a_job(meta=declared, ttlSecondsAfterFinished=5), ended), observed_job()) == Plan.nothing()


def test_a_full_host_makes_jobs_wait():
    waiting = plan(a_job(), observed_job(turn=Queued("HostBusy", "200 runs are active", ahead=0)))

    assert (waiting.waiting.reason, waiting.check_again_seconds) == ("HostBusy", 15)


def test_the_farther_back_in_the_queue_the_seldomer_a_job_looks():
    waiting = plan(a_job(), observed_job(turn=Queued("Queued", "others come first", ahead=1000)))

    assert waiting.check_again_seconds == 500


def test_who_waits_for_something_else_is_not_in_the_queue():
    queued = Queued("Queued", "others come first")

    assert would_begin(a_job(), observed_job(turn=queued))
    assert not would_begin(a_job(suspend=True), observed_job(turn=queued))
    assert not would_begin(a_job(), observed_job(turn=queued, unresolved="there is no Secret x"))
    assert not would_begin(with_runs(a_job(), a_run()), observed_job(unclaimed(), turn=queued))


def test_a_run_that_gives_way_is_stopped_with_its_grace():
    job = with_runs(a_job(terminationGracePeriodSeconds=5), a_run(state=RUNNING))

    assert plan(job, observed_job(running(gives_way="to job/default/urgent"))).steps == (StopRun(1, "Preempted", 5.0),)


def test_a_run_that_gives_way_before_it_was_started_never_is():
    job = with_runs(a_job(), a_run())
    decided = plan(job, observed_job(replace(unclaimed(), gives_way="to job/default/urgent")))

    assert decided.then == (AbandonRun(1, "Preempted", "it gave way to job/default/urgent"),)


def test_a_run_that_gave_way_uses_up_no_retry():
    job = with_runs(a_job(backoffLimit=0), a_failed_run(reason="Preempted"), failed=0)

    assert plan(job, observed_job()) == Plan.once_recorded(StartRun(2, None), first=(BeginRun(2),))


def test_boot_ids_are_those_of_the_builders():
    assert a_run().boot_id == BOOT
