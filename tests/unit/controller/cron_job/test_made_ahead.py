"""Jobs that are made ahead of their time, as very many are to come with them: each time has one nevertheless."""

from datetime import timedelta

import pytest

from api.errors import NotFound
from api.kinds import CRON_JOB, EVENT, JOB
from api.meta import wire_time
from api.types.cron_job import AHEAD_ANNOTATION
from controller.engine.errors import TransientError
from support.cron_jobs import CREATED, CronWorld
from support.objects import by

MINUTE = timedelta(minutes=1)
FIRST = CREATED.replace(second=0) + MINUTE
CROWD = 200
"""Which puts the job of the test 20 seconds ahead."""


@pytest.fixture
def world(tmp_path):
    world = CronWorld(tmp_path, CROWD)
    yield world
    world.close()


def name_of(moment, cron_job="tick"):
    return f"{cron_job}-{int(moment.timestamp()) // 60}"


def made_ahead(world, **spec):
    """Ten seconds before its time, its job is there."""
    world.apply(**spec)
    world.advance(20)
    assert world.jobs() == [name_of(FIRST)]


def begin(world, name):
    """Have the run of a job begin, as it does by itself."""
    job = world.verbs.get(JOB, "default", name)
    world.store.update_status(job | {"status": {"startTime": wire_time(world.clock.now())}})


def test_few_that_come_together_are_made_at_their_time(tmp_path):
    few = CronWorld(tmp_path, 7)
    few.apply()
    few.advance(29.9)
    before = few.jobs()
    few.advance(0.1)

    assert (before, few.jobs()) == ([], [name_of(FIRST)])
    few.close()


def test_how_late_jobs_start_is_told_of_those_too_that_are_made_ahead(world):
    made_ahead(world)

    told = world.cron_metrics.get_sample_value
    name = "runwright_cron_start_lateness_seconds"
    assert (told(f"{name}_count"), told(f"{name}_sum")) == (1, 0)


def test_the_next_pass_is_at_its_place_before_its_time(world):
    world.apply()

    assert world.reconcile() == pytest.approx(9.9)


def test_its_job_says_when_it_starts_and_of_which_generation_it_is(world):
    made_ahead(world)

    job = world.verbs.get(JOB, "default", name_of(FIRST))
    assert job["spec"] == {"command": ["true"], "startAt": wire_time(FIRST)}
    assert job["metadata"]["annotations"] == {
        AHEAD_ANNOTATION: "1", "batch.kubernetes.io/cronjob-scheduled-timestamp": wire_time(FIRST),
    }  # fmt: skip
    assert job["metadata"]["finalizers"] == ["runwright.dev/job"]


def test_until_its_time_the_cron_job_tells_nothing_of_it(world):
    made_ahead(world)

    status = world.get()["status"]
    assert (status["active"], status.get("lastScheduleTime"), status["nextScheduleTime"]) == (
        [],
        None,
        wire_time(FIRST),
    )


@pytest.mark.invariant("T3")
def test_at_its_time_it_counts_and_no_other_is_made(world):
    made_ahead(world)
    world.advance(10)

    status = world.get()["status"]
    assert [each["name"] for each in status["active"]] == [name_of(FIRST)]
    assert (status["lastScheduleTime"], world.made()) == (wire_time(FIRST), [name_of(FIRST)])


@pytest.mark.invariant("T3")
def test_it_counts_also_if_it_has_gone_by_the_time_that_it_is_looked_for(world):
    made_ahead(world)
    world.clock.advance(11)
    world.remove(name_of(FIRST))
    world.reconcile()

    assert (world.made(), world.get()["status"]["lastScheduleTime"]) == ([name_of(FIRST)], wire_time(FIRST))


@pytest.mark.invariant("T3")
@pytest.mark.parametrize("seconds", [5, 11], ids=["before", "after"])
def test_a_daemon_that_starts_meanwhile_knows_of_it(world, seconds):
    made_ahead(world)
    world.clock.advance(seconds)
    world.begin_process()
    world.clock.advance(12 - seconds)
    world.remove(name_of(FIRST))
    world.reconcile()

    assert (world.made(), world.get()["status"]["lastScheduleTime"]) == ([name_of(FIRST)], wire_time(FIRST))


@pytest.mark.parametrize(
    "change",
    [
        {"suspend": True},
        {"schedule": "30 * * * *"},
        {"jobTemplate": {"spec": {"command": ["other"]}}},
    ],
    ids=["suspended", "another time", "another job"],
)
def test_one_that_is_not_wanted_any_more_is_deleted(world, change):
    made_ahead(world)
    world.change(**change)
    world.reconcile()

    job = world.verbs.get(JOB, "default", name_of(FIRST))
    assert "deletionTimestamp" in job["metadata"]


def test_its_time_has_a_job_of_what_the_cron_job_is_then(world):
    made_ahead(world)
    world.change(jobTemplate={"spec": {"command": ["other"]}})
    world.reconcile()
    world.remove(name_of(FIRST))
    world.advance(1)
    again = world.verbs.get(JOB, "default", name_of(FIRST))

    assert again["spec"] == {"command": ["other"], "startAt": wire_time(FIRST)}
    assert again["metadata"]["annotations"][AHEAD_ANNOTATION] == "2"


@pytest.mark.invariant("T3")
def test_one_that_still_goes_when_its_time_comes_may_have_begun_so_there_is_no_other(world):
    made_ahead(world)
    world.change(jobTemplate={"spec": {"command": ["other"]}})
    world.reconcile()
    world.advance(11)
    world.remove(name_of(FIRST))
    world.advance(1)

    assert (world.made(), world.get()["status"]["lastScheduleTime"]) == ([name_of(FIRST)], wire_time(FIRST))


@pytest.mark.invariant("T3")
def test_in_the_last_seconds_nothing_is_changed_any_more(world):
    made_ahead(world)
    world.clock.advance(5.5)
    world.change(suspend=True)
    world.reconcile()

    assert "deletionTimestamp" not in world.verbs.get(JOB, "default", name_of(FIRST))["metadata"]


@pytest.mark.invariant("T3")
def test_a_time_that_had_its_job_has_no_other_made_ahead_when_the_clock_is_set_back(world):
    made_ahead(world)
    world.advance(10)
    world.end(name_of(FIRST))
    world.remove(name_of(FIRST))
    world.advance(5)
    world.clock.advance(-20)
    world.reconcile()
    world.advance(20)

    assert world.made() == [name_of(FIRST)]


@pytest.mark.invariant("T3")
@pytest.mark.parametrize("restarted", [False, True])
def test_one_that_somebody_deletes_or_cancels_before_its_time_is_not_made_again(world, restarted):
    made_ahead(world)
    world.remove(name_of(FIRST))
    if restarted:
        world.begin_process()
    world.reconcile()
    world.advance(11)

    assert (world.made(), world.get()["status"]["lastScheduleTime"]) == ([name_of(FIRST)], wire_time(FIRST))


@pytest.mark.invariant("T3")
def test_one_that_has_begun_and_gone_is_known_after_a_crash_before_its_cron_job_was_looked_at(world):
    made_ahead(world)
    assert world.get()["status"]["aheadTime"] == wire_time(FIRST)
    world.clock.advance(10.5)
    begin(world, name_of(FIRST))
    world.remove(name_of(FIRST))
    world.begin_process()
    world.reconcile()

    status = world.get()["status"]
    assert (world.made(), status["lastScheduleTime"]) == ([name_of(FIRST)], wire_time(FIRST))
    assert "aheadTime" not in status


def test_one_that_cannot_be_made_ahead_is_made_at_its_time(world):
    world.apply()
    world.allows_jobs = False
    world.advance(20)
    refused = world.jobs()
    world.allows_jobs = True
    world.advance(10)

    assert (refused, world.jobs()) == ([], [name_of(FIRST)])


def test_one_that_has_begun_is_left_alone_whatever_changes(world):
    made_ahead(world)
    world.clock.advance(10.5)
    begin(world, name_of(FIRST))
    world.change(suspend=True)
    world.reconcile()

    assert "deletionTimestamp" not in world.verbs.get(JOB, "default", name_of(FIRST))["metadata"]


def test_one_that_has_begun_counts_also_when_the_clock_is_set_back(world):
    made_ahead(world)
    world.clock.advance(10.5)
    begin(world, name_of(FIRST))
    world.reconcile()
    world.clock.advance(-45)
    world.reconcile()
    world.advance(45)

    assert world.made() == [name_of(FIRST)]


@pytest.mark.parametrize(("policy", "ahead"), [("Allow", True), ("Forbid", False), ("Replace", False)])
def test_while_another_runs_it_is_made_ahead_only_if_both_may(world, policy, ahead):
    made_ahead(world, concurrencyPolicy=policy)
    world.advance(11)
    world.advance(49)

    assert (name_of(FIRST + MINUTE) in world.jobs()) is ahead


@pytest.mark.parametrize("policy", ["Forbid", "Replace"])
def test_it_stands_in_its_own_way_by_no_policy(world, policy):
    made_ahead(world, concurrencyPolicy=policy)
    world.advance(10)
    world.advance(1)

    assert "deletionTimestamp" not in world.verbs.get(JOB, "default", name_of(FIRST))["metadata"]
    assert world.get()["status"]["conditions"][0]["reason"] == "Waiting"


def test_it_is_told_of_once(world):
    made_ahead(world)
    world.advance(10)
    world.recorder.flush()

    told = [each["reason"] for each in world.store.each(EVENT.name)]
    assert told.count("SuccessfulCreate") == 1


def test_a_job_of_that_name_that_is_another_s_is_told_of_at_its_time(world):
    world.apply()
    world.verbs.create(JOB, "default", {"metadata": {"name": name_of(FIRST)}, "spec": {"command": ["x"]}}, by("other"))
    world.advance(20)
    with pytest.raises(TransientError, match="there is another job of that name"):
        world.advance(10)


def test_a_cron_job_that_goes_is_forgotten(world):
    made_ahead(world)
    world.verbs.delete(CRON_JOB, "default", "tick")
    world.reconcile()

    with pytest.raises(NotFound):
        world.get()
