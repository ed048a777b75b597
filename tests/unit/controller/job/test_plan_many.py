from dataclasses import replace
from datetime import timedelta

import pytest

from api.meta import wire_micro_time
from api.types.job import RunState
from api.types.job_network import RunNetwork
from controller.engine.plan import Plan
from controller.job.moments import micros
from controller.job.observed import Admitted, NetworkGiven, Queued
from controller.job.plan import plan, would_begin
from controller.job.report import report
from controller.job.steps import AbandonRun, BeginRun, FreezeRun, RemoveRun, StartRun, StopRun, ThawRun
from support.builders import NOW, a_job, a_run, exited, observed_job, running, unclaimed, with_runs

RUNNING = RunState.RUNNING


def indexed(completions=5, parallelism=2, **spec):
    return a_job(completionMode="Indexed", completions=completions, parallelism=parallelism, **spec)


def at_work(job, *indexes):
    """The job with a run of each of these indexes, and the host where they run."""
    runs = [a_run(number, RUNNING, index=index) for number, index in enumerate(indexes, 1)]
    return with_runs(job, *runs), observed_job(*(running(run.attempt) for run in runs))


def status_of(job, observed):
    return report(job, observed, plan(job, observed), work_bytes=1)


def test_the_first_run_has_the_first_index():
    assert plan(indexed(), observed_job()) == Plan.once_recorded(StartRun(1, None), first=(BeginRun(1, index=0),))


def test_a_run_is_begun_when_the_one_before_has_started():
    begun = with_runs(indexed(), a_run(1, index=0))

    assert plan(begun, observed_job(unclaimed())) == Plan.once_recorded(StartRun(1, None))
    assert plan(*at_work(indexed(), 0)).steps == (BeginRun(2, index=1),)


def test_the_next_run_begins_only_once_it_is_on_record_that_the_one_before_has_started():
    """What the next would have, such as its volumes, is looked at only then."""
    started = with_runs(indexed(), a_run(1, index=0))

    assert plan(started, observed_job(running())) == Plan.do(again=True)


def test_no_more_runs_begin_than_parallelism_allows():
    assert plan(*at_work(indexed(), 0, 1)) == Plan.nothing()


def test_an_end_is_on_record_and_its_run_gone_before_another_takes_its_place():
    job, _ = at_work(indexed(), 0, 1)
    host = observed_job(exited(1), running(2))

    assert plan(job, host) == Plan.once_recorded(RemoveRun(1))
    job = job.model_copy(update={"status": status_of(job, host)})
    assert job.status.completed_indexes == "0"
    assert plan(job, host) == Plan.once_recorded(RemoveRun(1))
    assert plan(job, observed_job(running(2))).steps == (BeginRun(3, index=2),)


def test_a_job_whose_next_run_waits_for_its_turn_goes_on_with_those_it_has():
    job, host = at_work(indexed(), 0)
    waiting = Queued("HostBusy", "2 runs are active", place="place 1 of 1")
    host = observed_job(*host.runs, turn=waiting)

    status = status_of(job, host)

    assert plan(job, host).steps == ()
    assert would_begin(job, host)
    assert (status.phase, status.reason, status.active, status.ready) == ("Running", "HostBusy", 1, 1)
    assert status.message == "0 of 5 completed; 1 running; the next waits: 2 runs are active: place 1 of 1"


def test_a_job_that_has_all_its_runs_does_not_stand_in_the_queue():
    assert not would_begin(*at_work(indexed(), 0, 1))


def test_lowering_parallelism_stops_the_highest_indexes_and_counts_no_failure():
    job, host = at_work(indexed(parallelism=1), 0, 1, 2)

    assert plan(job, host).steps == (StopRun(2, "ScaledDown", 30), StopRun(3, "ScaledDown", 30))
    assert status_of(job, observed_job(running(1), exited(2, "ScaledDown", 143), running(3))).failed == 0


def test_suspending_freezes_all_runs_and_resuming_thaws_them():
    job, host = at_work(indexed(suspend=True), 0, 1)
    assert plan(job, host).steps == (FreezeRun(1), FreezeRun(2))

    frozen = observed_job(running(1, frozen=True), running(2, frozen=True))
    assert plan(job, frozen).steps == ()
    assert status_of(job, frozen).phase == "Suspended"

    job, _ = at_work(indexed(), 0, 1)
    assert plan(job, frozen).steps == (ThawRun(1, None), ThawRun(2, None))


def test_deleting_ends_all_runs_at_once():
    job, _ = at_work(indexed(), 0, 1)
    job = with_runs(job, *job.status.runs, a_run(3, index=2))
    meta = job.meta.model_copy(update={"deletion_timestamp": "2026-01-02T03:04:05Z"})
    job = job.model_copy(update={"metadata": meta})

    decided = plan(job, observed_job(running(1), running(2), unclaimed(3)))

    assert decided.steps == (StopRun(1, "Stopped", 30), StopRun(2, "Stopped", 30))
    assert decided.then == (AbandonRun(3, "Stopped", "the job was deleted"),)


def test_a_job_that_has_failed_stops_its_other_runs_before_it_says_so():
    job, host = at_work(indexed(backoffLimit=0), 0, 1)
    job = with_runs(job, *job.status.runs, failed=1)

    assert plan(job, host).steps == (StopRun(1, "JobEnded", 30), StopRun(2, "JobEnded", 30))
    assert not status_of(job, host).conditions
    ended = observed_job(exited(1, "JobEnded", 143), exited(2, "JobEnded", 143))
    status = status_of(job, ended)
    assert (status.phase, status.reason, status.failed) == ("Failed", "BackoffLimitExceeded", 1)


def test_stopping_a_job_stops_all_its_runs():
    job, host = at_work(indexed(), 0, 1)
    meta = job.meta.model_copy(update={"annotations": {"runwright.dev/stop-requested": "now"}})

    steps = plan(job.model_copy(update={"metadata": meta}), host).steps

    assert steps == (StopRun(1, "Stopped", 30), StopRun(2, "Stopped", 30))


def test_each_run_is_held_to_what_is_left_of_the_deadline_of_the_whole_job():
    job = indexed(activeDeadlineSeconds=100)
    runs = (a_run(1, RUNNING, index=0, deadline_seconds=100), a_run(2, index=1))
    started = wire_micro_time(NOW - timedelta(seconds=40))
    job = with_runs(job, *runs, start_time=started)

    assert plan(job, observed_job(running(1), unclaimed(2))).then == (StartRun(2, 60),)


def test_past_the_deadline_no_run_begins_and_the_job_fails_when_all_have_ended():
    job = indexed(activeDeadlineSeconds=10)
    started = wire_micro_time(NOW - timedelta(seconds=11))
    job = with_runs(job, a_run(1, RUNNING, index=0, deadline_seconds=10), start_time=started)

    assert plan(job, observed_job(running(1))).steps == ()
    status = status_of(job, observed_job(exited(1, "DeadlineExceeded", 143)))
    assert (status.phase, status.reason) == ("Failed", "DeadlineExceeded")


def test_a_run_of_another_template_ends_before_its_index_runs_anew():
    job, host = at_work(indexed(parallelism=1), 0)
    old = job.status.runs[0].model_copy(update={"template_hash": "old"})
    job = with_runs(job, old)

    assert plan(job, host).steps == (StopRun(1, "Superseded", 30),)


@pytest.mark.parametrize(("parallelism", "reason"), [(0, "Pending"), (1, "Running")])
def test_a_job_of_parallelism_zero_waits_until_that_is_raised(parallelism, reason):
    job = indexed(parallelism=parallelism)
    job, host = (job, observed_job()) if not parallelism else at_work(job, 0)

    status = status_of(job, host)

    assert status.reason == reason
    assert ("parallelism is 0" in status.message) == (parallelism == 0)


def test_a_run_of_an_index_has_a_name_of_its_own_in_its_network():
    given = NetworkGiven(RunNetwork(name="bridge", address="10.213.0.2", names=("etl", "queue")))

    (begin,) = plan(indexed(), observed_job(network=given)).steps

    assert begin.network.names == ("etl", "queue", "etl-0")


def test_each_run_waits_in_the_queue_for_itself():
    job, host = at_work(indexed(parallelism=3), 0)
    turn = Admitted(queued_at=micros(NOW))
    job = with_runs(job, *job.status.runs, queued_at=wire_micro_time(NOW))

    status = status_of(job, replace(host, turn=turn))

    assert (status.queued_at, status.runs[-1].queued_at) == (None, wire_micro_time(NOW))


def test_who_takes_the_place_of_a_run_that_gave_way_has_waited_since_that_had():
    early = wire_micro_time(NOW - timedelta(hours=1))
    job = with_runs(indexed(parallelism=1), a_run(1, RUNNING, index=0, queued_at=early))
    host = observed_job(exited(1, "Preempted", 143))

    status = status_of(job, host)

    assert (status.queued_at, status.failed) == (early, 0)
    removed = job.model_copy(update={"status": status})
    assert plan(removed, observed_job()).steps == (BeginRun(2, index=0),)
    assert report(removed, observed_job(), Plan.nothing(), work_bytes=1).queued_at == early


def test_a_job_that_was_plain_goes_on_as_one_of_many_runs():
    job = with_runs(a_job(parallelism=2), a_run(1, RUNNING))

    assert plan(job, observed_job(running(1))).steps == (BeginRun(2),)


def test_a_job_that_had_two_runs_is_not_taken_for_a_plain_one_when_it_is_scaled_to_one():
    job = with_runs(a_job(parallelism=1), a_run(1, RUNNING), a_run(2, RUNNING), ready=2, active=2)

    assert plan(job, observed_job(running(1), running(2))).steps == (StopRun(2, "ScaledDown", 30),)


def test_a_plain_job_has_none_of_the_fields_of_many_runs():
    document = status_of(a_job(), observed_job()).to_document()

    assert not {"ready", "completedIndexes", "failedIndexes"} & set(document)
    assert not {"index", "indexFailures"} & set(document["runs"][0])
