from datetime import timedelta

import pytest

from api.meta import wire_time
from controller.cron_job.observed import Ended
from controller.cron_job.plan import plan, since
from controller.cron_job.steps import DeleteJob, PassOver, StartJob
from controller.engine.plan import Plan, Waiting
from support.cron_jobs import CREATED, a_child, a_cron_job, observed

FIRST = CREATED.replace(second=0) + timedelta(minutes=1)
MINUTE = timedelta(minutes=1)


def name_of(moment):
    return f"tick-{int(moment.timestamp()) // 60}"


def start(moment, missed=0):
    return StartJob(name_of(moment), moment, missed)


def test_before_its_first_time_it_waits_for_it():
    cron_job = a_cron_job()

    assert plan(cron_job, observed(cron_job, CREATED)) == Plan(
        (), Waiting("Waiting", f"its next time is {wire_time(FIRST)}"), 30.0
    )


def test_at_its_time_the_job_of_that_time_is_started():
    cron_job = a_cron_job()
    decided = plan(cron_job, observed(cron_job, FIRST + timedelta(seconds=0.01)))

    assert decided.steps == (start(FIRST),)
    assert decided.check_again_seconds == pytest.approx(59.99)


def test_the_name_has_the_minutes_since_1970_as_in_kubernetes():
    assert start(FIRST).name == "tick-29455381"


@pytest.mark.parametrize("how", ["recorded", "started", "seen"])
def test_a_time_that_had_its_job_gets_no_other(how):
    status = {"lastScheduleTime": wire_time(FIRST)} if how == "recorded" else {}
    cron_job = a_cron_job(status=status)
    children = [a_child(name_of(FIRST), scheduled=FIRST)] if how == "seen" else []
    seen = observed(cron_job, FIRST + timedelta(seconds=9), *children, started=FIRST if how == "started" else None)

    assert plan(cron_job, seen).steps == ()


def test_of_the_times_that_were_missed_only_the_newest_gets_a_job():
    cron_job = a_cron_job(status={"lastScheduleTime": wire_time(FIRST)})

    assert plan(cron_job, observed(cron_job, FIRST + 10 * MINUTE)).steps == (start(FIRST + 10 * MINUTE, 9),)


def test_more_than_a_hundred_missed_times_are_no_reason_not_to_start():
    cron_job = a_cron_job(status={"lastScheduleTime": wire_time(FIRST)})

    assert plan(cron_job, observed(cron_job, FIRST + 500 * MINUTE)).steps == (start(FIRST + 500 * MINUTE, 101),)


def test_a_job_may_start_as_late_as_its_deadline_and_not_later():
    cron_job = a_cron_job(schedule="0 * * * *", startingDeadlineSeconds=100)
    time = FIRST.replace(minute=0) + timedelta(hours=1)

    assert plan(cron_job, observed(cron_job, time + timedelta(seconds=100))).steps == (start(time),)
    late = plan(cron_job, observed(cron_job, time + timedelta(seconds=100.5)))
    assert late.steps == (PassOver(time, 0),)
    assert late.check_again_seconds == pytest.approx(3499.5)


def test_what_was_passed_over_is_not_looked_at_again():
    time = FIRST.replace(minute=0) + timedelta(hours=1)
    cron_job = a_cron_job(schedule="0 * * * *", startingDeadlineSeconds=100, status={"lastMissedTime": wire_time(time)})

    assert plan(cron_job, observed(cron_job, time + timedelta(seconds=200))).steps == ()


def test_a_suspended_one_starts_nothing_and_deletes_what_is_old():
    cron_job = a_cron_job(suspend=True, successfulJobsHistoryLimit=0)
    decided = plan(cron_job, observed(cron_job, FIRST, a_child("tick-1", ended=Ended.COMPLETE)))

    assert decided == Plan((DeleteJob("tick-1", "uid-of-tick-1"),), Waiting("Suspended", "spec.suspend is true"))


def test_forbid_waits_for_the_job_before_and_starts_then():
    cron_job = a_cron_job(concurrencyPolicy="Forbid")
    running = a_child(name_of(FIRST), scheduled=FIRST)
    late = FIRST + MINUTE + timedelta(seconds=20)

    waiting = plan(cron_job, observed(cron_job, late, running))
    then = plan(cron_job, observed(cron_job, late, a_child(name_of(FIRST), scheduled=FIRST, ended=Ended.COMPLETE)))

    assert (waiting.steps, waiting.waiting.reason) == ((), "JobAlreadyActive")
    assert f"job {name_of(FIRST)} has not ended" in waiting.waiting.message
    assert then.steps == (start(FIRST + MINUTE),)


def test_forbid_waits_for_a_job_that_is_being_deleted_until_it_is_gone():
    cron_job = a_cron_job(concurrencyPolicy="Forbid")
    ending = a_child(name_of(FIRST), scheduled=FIRST, is_deleting=True)

    assert plan(cron_job, observed(cron_job, FIRST + MINUTE, ending)).waiting.reason == "JobAlreadyActive"


def test_a_job_that_a_person_made_holds_nothing_up_and_is_not_replaced():
    by_hand = a_child("now", is_manual=True)
    for policy in ("Forbid", "Replace"):
        cron_job = a_cron_job(concurrencyPolicy=policy)

        assert plan(cron_job, observed(cron_job, FIRST, by_hand)).steps == (start(FIRST),)


def test_replace_deletes_what_has_not_ended_and_starts():
    cron_job = a_cron_job(concurrencyPolicy="Replace")
    before = a_child(name_of(FIRST), scheduled=FIRST)
    ended = a_child("tick-1", ended=Ended.FAILED)

    decided = plan(cron_job, observed(cron_job, FIRST + MINUTE, before, ended))

    assert decided.steps == (DeleteJob(before.name, before.uid), start(FIRST + MINUTE))


def test_allow_starts_beside_what_has_not_ended():
    cron_job = a_cron_job()
    before = a_child(name_of(FIRST), scheduled=FIRST)

    assert plan(cron_job, observed(cron_job, FIRST + MINUTE, before)).steps == (start(FIRST + MINUTE),)


def test_the_oldest_jobs_over_each_limit_go():
    cron_job = a_cron_job(successfulJobsHistoryLimit=2, failedJobsHistoryLimit=0)
    good = [a_child(f"g{n}", ended=Ended.COMPLETE, started=CREATED + n * MINUTE) for n in (3, 1, 2)]
    bad = [a_child("b", ended=Ended.FAILED), a_child("gone", ended=Ended.FAILED, is_deleting=True)]

    assert plan(cron_job, observed(cron_job, CREATED, *good, *bad)).steps == (
        DeleteJob("g1", "uid-of-g1"), DeleteJob("b", "uid-of-b"),
    )  # fmt: skip


def test_one_that_is_being_deleted_does_nothing():
    cron_job = a_cron_job(meta={"deletionTimestamp": "2026-01-02T03:04:05Z"})

    assert plan(cron_job, observed(cron_job, FIRST, a_child("x", ended=Ended.COMPLETE))) == Plan.nothing()


def test_one_that_cannot_be_followed_says_why():
    cron_job = a_cron_job()
    seen = observed(cron_job, FIRST, schedule=None, problem=("UnknownTimeZone", "no such zone"))

    assert plan(cron_job, seen) == Plan((), Waiting("UnknownTimeZone", "no such zone"))


@pytest.mark.invariant("T3")
def test_a_clock_that_was_set_back_a_little_starts_nothing_again():
    cron_job = a_cron_job(status={"lastScheduleTime": wire_time(FIRST + 5 * MINUTE)})

    assert plan(cron_job, observed(cron_job, FIRST + 2 * MINUTE)).steps == ()


def test_what_a_wrong_clock_has_written_holds_nothing_up_when_it_is_right_again():
    far = wire_time(FIRST + timedelta(days=4000))
    cron_job = a_cron_job(status={"lastScheduleTime": far})

    assert since(cron_job, observed(cron_job, FIRST)) == CREATED
    assert plan(cron_job, observed(cron_job, FIRST)).steps == (start(FIRST),)


def test_one_that_a_wrong_clock_has_made_begins_now():
    cron_job = a_cron_job(meta={"creationTimestamp": wire_time(FIRST + timedelta(days=4000))})

    assert since(cron_job, observed(cron_job, FIRST)) == FIRST


def test_the_longest_wait_is_a_day():
    cron_job = a_cron_job(schedule="0 0 29 2 *")

    assert plan(cron_job, observed(cron_job, FIRST)).check_again_seconds == 86_400
