"""The kind over a real store: from a schedule to jobs, statuses, events; with time moved by hand."""

from datetime import timedelta

import pytest

from api.conditions import Condition, ConditionStatus
from api.kinds import CRON_JOB, EVENT, JOB
from api.meta import ObjectKey, read_time, wire_time
from api.types.cron_job import MANUAL_ANNOTATION, job_of
from controller.cron_job.explain import CronJobExplainer
from controller.cron_job.observe import host_zone
from controller.engine.errors import TransientError
from support.cron_jobs import CREATED, CronWorld
from support.objects import by

MINUTE = timedelta(minutes=1)
FIRST = CREATED.replace(second=0) + MINUTE


@pytest.fixture
def world(tmp_path):
    world = CronWorld(tmp_path)
    yield world
    world.close()


def name_of(moment, cron_job="tick"):
    return f"{cron_job}-{int(moment.timestamp()) // 60}"


def ready(world) -> Condition:
    return Condition.model_validate(world.get()["status"]["conditions"][0])


def test_a_new_one_waits_and_says_for_what(world):
    world.apply()

    status = world.get()["status"]
    assert world.jobs() == []
    assert (status["nextScheduleTime"], status["active"], ready(world).reason) == (wire_time(FIRST), [], "Waiting")


def test_the_job_of_a_time_is_made_of_the_template_and_is_the_cron_jobs_own(world):
    template = {"metadata": {"labels": {"app": "x"}, "annotations": {"a": "b"}}, "spec": {"command": ["echo", "hi"]}}
    made = world.apply(jobTemplate=template)
    world.advance(30)

    job = world.verbs.get(JOB, "default", name_of(FIRST))
    metadata = job["metadata"]
    assert job["spec"] == {"command": ["echo", "hi"]}
    assert metadata["labels"] == {"app": "x"}
    assert metadata["annotations"] == {
        "a": "b", "batch.kubernetes.io/cronjob-scheduled-timestamp": wire_time(FIRST),
    }  # fmt: skip
    assert metadata["finalizers"] == ["runwright.dev/job"]
    assert metadata["ownerReferences"] == [
        {"apiVersion": "runwright.dev/v1alpha1", "kind": "CronJob", "name": "tick", "uid": made["metadata"]["uid"],
         "controller": True, "blockOwnerDeletion": True}
    ]  # fmt: skip


def test_the_status_tells_of_the_job_and_of_its_end(world):
    world.apply()
    world.advance(30)
    running = world.get()["status"]
    world.clock.advance(5)
    world.end(name_of(FIRST))
    woken = world.read_journal()
    world.reconcile()

    ended = world.get()["status"]
    assert [each["name"] for each in running["active"]] == [name_of(FIRST)]
    assert (running["lastScheduleTime"], running["nextScheduleTime"]) == (wire_time(FIRST), wire_time(FIRST + MINUTE))
    assert ObjectKey("CronJob", "default", "tick") in woken
    assert (ended["active"], ended["lastSuccessfulTime"]) == ([], wire_time(FIRST + timedelta(seconds=5)))


def test_a_pass_asks_for_the_next_at_the_next_time_and_for_one_that_sees_whether_it_is_one_of_many(world):
    world.apply()
    first = world.reconcile()
    world.clock.advance(29)

    assert (first, world.reconcile()) == (29.0, 1.0)


def test_minute_after_minute_each_time_has_one_job_and_three_are_kept(world):
    world.apply()
    world.advance(30)
    for _ in range(6):
        world.end(world.jobs()[-1])
        world.advance(60)

    assert world.made() == [name_of(FIRST + n * MINUTE) for n in range(7)]
    kept = [
        name for name in world.jobs() if not world.verbs.get(JOB, "default", name)["metadata"].get("deletionTimestamp")
    ]
    assert kept == [name_of(FIRST + n * MINUTE) for n in (3, 4, 5, 6)]


@pytest.mark.invariant("T3")
def test_after_downtime_one_job_is_made_for_the_newest_time(world):
    world.apply()
    world.clock.advance(30 + 600)
    world.begin_process()
    world.reconcile()
    world.reconcile()

    assert world.made() == [name_of(FIRST + 10 * MINUTE)]


def test_what_it_was_too_late_for_is_told_once(world):
    world.apply(schedule="0 * * * *", startingDeadlineSeconds=60)
    world.advance(3600 + 1800)
    world.reconcile()
    world.recorder.flush()

    missed = FIRST.replace(minute=0) + timedelta(hours=1)
    events = [event for event in world.store.each(EVENT.name) if event["reason"] == "MissSchedule"]
    assert world.made() == []
    assert world.get()["status"]["lastMissedTime"] == wire_time(missed)
    assert [event["count"] for event in events] == [1]
    assert events[0]["message"] == (
        f"missed the start at {wire_time(missed)}: it was noticed too late, startingDeadlineSeconds is 60"
    )


@pytest.mark.invariant("T3")
def test_one_that_is_killed_between_making_a_job_and_telling_of_it_does_not_make_it_again(world):
    world.apply()
    world.clock.advance(30)
    cut_after_acting(world)
    world.begin_process()
    world.reconcile()

    assert world.made() == [name_of(FIRST)]
    assert world.get()["status"]["lastScheduleTime"] == wire_time(FIRST)


@pytest.mark.invariant("T3")
def test_nor_if_that_job_is_gone_by_the_first_pass_after_it(world):
    world.apply()
    world.clock.advance(30)
    cut_after_acting(world)
    world.begin_process()
    world.end(name_of(FIRST))
    world.remove(name_of(FIRST))
    world.reconcile()

    assert world.made() == [name_of(FIRST)]


@pytest.mark.invariant("T3")
def test_nor_if_the_status_cannot_be_written_and_the_job_goes_meanwhile(world):
    world.apply()
    world.clock.advance(30)
    cut_after_acting(world)
    world.end(name_of(FIRST))
    world.remove(name_of(FIRST))
    world.reconcile()

    assert world.made() == [name_of(FIRST)]
    assert world.get()["status"]["lastScheduleTime"] == wire_time(FIRST)


def cut_after_acting(world):
    """A pass that ends, with its process or by a conflict, when its steps are done and not reported."""
    document = world.get()
    cron_job = CRON_JOB.type.model_validate(document)
    for step in world.kind.plan(cron_job, world.kind.observe(cron_job)).steps:
        world.kind.act(cron_job, step)
    assert world.get() == document


def test_a_deleted_job_is_not_made_again_for_its_time(world):
    world.apply()
    world.advance(30)
    world.remove(name_of(FIRST))
    world.reconcile()

    assert world.made() == [name_of(FIRST)]
    assert world.get()["status"]["active"] == []


def test_a_name_that_another_job_has_is_told_and_waited_for(world):
    world.apply()
    world.verbs.create(JOB, "default", {"metadata": {"name": name_of(FIRST)}, "spec": {"command": ["x"]}}, by("other"))
    world.clock.advance(30)

    with pytest.raises(TransientError, match="there is another job of that name: delete it") as failed:
        world.reconcile()
    assert failed.value.reason == "FailedCreate"
    world.loop.report_failure(ObjectKey("CronJob", "default", "tick"), failed.value)
    assert (ready(world).status, ready(world).reason) == (ConditionStatus.FALSE, "FailedCreate")
    world.remove(name_of(FIRST))
    world.reconcile()
    assert world.get()["status"]["lastScheduleTime"] == wire_time(FIRST)


def test_a_job_that_cannot_be_made_says_why(world):
    world.apply(jobTemplate={"metadata": {"labels": {"bad key!": "x"}}, "spec": {"command": ["true"]}})
    world.clock.advance(30)

    with pytest.raises(TransientError, match=r"cannot make job tick-\d+: .*bad key!"):
        world.reconcile()


def test_a_job_made_by_hand_is_its_own_and_no_schedule_of_it(world):
    made = world.apply()
    world.verbs.create(JOB, "default", job_of(made, "now", {MANUAL_ANNOTATION: "manual"}), by("me"))
    world.clock.advance(5)
    world.end("now")
    world.reconcile()

    status = world.get()["status"]
    assert "lastScheduleTime" not in status
    assert status["lastSuccessfulTime"] == wire_time(world.clock.now())


def test_resuming_starts_the_newest_of_the_times_that_came_meanwhile(world):
    world.apply(suspend=True)
    world.advance(600)
    assert (world.jobs(), ready(world).reason) == ([], "Suspended")
    world.change(suspend=False)
    world.reconcile()

    assert world.made() == [name_of(FIRST + 9 * MINUTE)]


def test_one_that_is_deleted_goes_at_once_and_starts_nothing(world):
    world.apply()
    world.clock.advance(30)
    world.verbs.delete(CRON_JOB, "default", "tick")
    world.reconcile()

    assert world.store.get(ObjectKey("CronJob", "default", "tick")) is None
    assert world.made() == []


def test_a_gap_in_the_journal_loses_no_job(world):
    world.apply()
    world.advance(30)
    world.children.of("read once")
    world.begin_process()
    world.end(name_of(FIRST))
    world.reconcile()

    assert world.get()["status"]["active"] == []


def test_only_news_of_a_job_wakes_its_cron_job(world):
    world.apply()
    world.advance(30)
    world.read_journal()
    job = world.verbs.get(JOB, "default", name_of(FIRST))
    world.store.update_status(job | {"status": {"phase": "Running"}})

    assert world.read_journal() == []
    world.end(name_of(FIRST))
    assert world.read_journal() == [ObjectKey("CronJob", "default", "tick")]


def test_an_explanation_has_the_next_times_in_the_zone_and_what_would_be_done(world):
    world.apply(schedule="30 2 * * *", timeZone="Europe/Berlin")
    explained = CronJobExplainer(world.store, world.observer).explain(ObjectKey("CronJob", "default", "tick"))

    assert explained["summary"]["reason"] == "Waiting"
    assert explained["nextTimes"][:2] == ["2026-01-03T01:30:00Z", "2026-01-04T01:30:00Z"]
    assert "the next times of 30 2 * * *, in Europe/Berlin: 2026-01-03T02:30:00+01:00, " in explained["reasons"][1]
    world.clock.advance(2 * 86_400)
    due = CronJobExplainer(world.store, world.observer).explain(ObjectKey("CronJob", "default", "tick"))
    assert [step["step"] for step in due["plan"]] == ["StartJob"]
    assert world.made() == []


def test_a_zone_that_is_gone_from_the_host_is_told(world):
    made = world.apply()
    stored = world.store.get(ObjectKey("CronJob", "default", "tick"))
    world.store.update(stored | {"spec": made["spec"] | {"timeZone": "Etc/UTC"}})
    cron_job = CRON_JOB.type.model_validate(stored)
    lost = cron_job.model_copy(update={"spec": cron_job.spec.model_copy(update={"time_zone": "Mars/Phobos"})})

    observed = world.kind.observe(lost)
    assert observed.problem[0] == "UnknownTimeZone"
    assert world.kind.report(lost, observed, world.kind.plan(lost, observed)).next_schedule_time is None


def test_the_hosts_zone_is_that_of_its_localtime(tmp_path):
    link = tmp_path / "localtime"
    assert str(host_zone(link)) == "UTC"
    link.symlink_to("/usr/share/zoneinfo/Europe/Berlin")

    assert str(host_zone(link)) == "Europe/Berlin"
    assert host_zone(link).utcoffset(read_time("2026-07-01T00:00:00Z").replace(tzinfo=None)) == timedelta(hours=2)


def test_a_job_that_claims_a_time_it_is_not_named_after_holds_nothing_up(world):
    made = world.apply()
    forged = {"batch.kubernetes.io/cronjob-scheduled-timestamp": wire_time(FIRST + timedelta(hours=20))}
    world.verbs.create(JOB, "default", job_of(made, "forged", forged), by("somebody"))
    world.begin_process()
    world.advance(30)

    assert world.made() == ["forged", name_of(FIRST)]


def test_a_template_cannot_make_its_jobs_look_made_by_hand(world):
    template = {"metadata": {"annotations": {MANUAL_ANNOTATION: "manual"}}, "spec": {"command": ["true"]}}
    world.apply(concurrencyPolicy="Forbid", jobTemplate=template)
    world.advance(30)
    world.advance(60)

    assert (world.made(), ready(world).reason) == ([name_of(FIRST)], "JobAlreadyActive")


def test_children_that_could_not_be_read_are_read_with_the_next_question(world, monkeypatch):
    uid = world.apply()["metadata"]["uid"]
    world.advance(60)
    world.read_journal()
    keys = world.children.of(uid)

    def broken(*_which, **_how):
        raise OSError("the disk failed")

    world.clock.advance(3600)
    monkeypatch.setattr(world.store, "each", broken)
    with pytest.raises(OSError, match="the disk failed"):
        world.children.of(uid)
    monkeypatch.undo()

    assert world.children.of(uid) == keys != ()
