"""A CronJob through random time, crashes, endings and deletions: no time ever gets two jobs, and the newest gets one."""

import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.errors import ApiError
from api.kinds import CRON_JOB, JOB
from api.meta import ObjectKey, read_time, wire_time
from support.cron_jobs import CREATED, CronWorld

EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 200)),
        st.tuples(st.just("back"), st.integers(1, 200)),
        st.tuples(st.just("crash"), st.integers(0, 3)),
        st.tuples(st.just("conflict"), st.none()),
        st.tuples(st.just("end"), st.sampled_from(["Complete", "Failed"])),
        st.tuples(st.just("remove"), st.none()),
        st.tuples(st.just("suspend"), st.booleans()),
    ),
    max_size=12,
)
POLICIES = st.fixed_dictionaries(
    {"concurrencyPolicy": st.sampled_from(["Allow", "Forbid", "Replace"])},
    optional={
        "startingDeadlineSeconds": st.sampled_from([0, 30, 300]),
        "successfulJobsHistoryLimit": st.integers(0, 1),
    },
)


@pytest.mark.invariant("T3")
@settings(max_examples=60, deadline=None)
@given(POLICIES, EVENTS)
def test_no_time_ever_gets_two_jobs(spec, events):
    with tempfile.TemporaryDirectory() as directory:
        world = CronWorld(Path(directory))
        try:
            world.apply(**spec)
            for what, arg in events:
                happen(world, what, arg)
                made = world.made()
                assert len(made) == len(set(made)), made
            settle(world, spec)
        finally:
            world.close()


@pytest.mark.invariant("T3")
@settings(max_examples=40, deadline=None)
@given(POLICIES, EVENTS, st.sampled_from([50, 200]))
def test_no_time_ever_has_two_jobs_begin_though_jobs_are_made_ahead(spec, events, crowd):
    with tempfile.TemporaryDirectory() as directory:
        world = CronWorld(Path(directory), crowd)
        begun: dict[str, set[str]] = {}
        try:
            world.apply(**spec)
            for what, arg in events:
                happen(world, what, arg)
                for name, uid in begin_what_is_due(world):
                    begun.setdefault(name, set()).add(uid)
                assert all(len(uids) == 1 for uids in begun.values()), begun
            settle(world, spec)
        finally:
            world.close()


def begin_what_is_due(world: CronWorld):
    """Have the runs of all jobs begin whose moment has come, if they have not; yield which have."""
    for key in world.store.keys(JOB.name):
        job = world.verbs.get(JOB, "default", key.name)
        due = job["spec"].get("startAt")
        if "deletionTimestamp" in job["metadata"] and not job.get("status", {}).get("startTime"):
            world.remove(key.name)
            continue
        if due is None or read_time(due) <= world.clock.now():
            if not job.get("status", {}).get("startTime"):
                world.store.update_status(job | {"status": {"startTime": wire_time(world.clock.now())}})
            yield key.name, job["metadata"]["uid"]


def happen(world: CronWorld, what: str, arg) -> None:
    live = [key.name for key in world.store.keys(JOB.name)] if what == "remove" else come(world)
    match what:
        case "wait":
            world.advance(arg)
        case "back":
            world.clock.advance(-arg)
            world.reconcile()
        case "crash":
            act_without_telling(world, arg)
            world.begin_process()
        case "conflict":
            act_without_telling(world, 9)
        case "end" if live:
            world.end(live[-1], arg)
        case "remove" if live:
            world.remove(live[-1])
        case "suspend":
            world.change(suspend=arg)


def come(world: CronWorld) -> list[str]:
    """Return the names of the jobs that are there and whose moment has come."""
    jobs = [world.verbs.get(JOB, "default", key.name) for key in world.store.keys(JOB.name)]
    due = [job for job in jobs if read_time(job["spec"].get("startAt", wire_time(CREATED))) <= world.clock.now()]
    return [job["metadata"]["name"] for job in due]


def act_without_telling(world: CronWorld, steps: int) -> None:
    """A pass that is cut short: after some steps, or before its status is stored."""
    world.read_journal()
    cron_job = CRON_JOB.type.model_validate(world.get())
    for step in world.kind.plan(cron_job, world.kind.observe(cron_job)).steps[:steps]:
        world.kind.act(cron_job, step)


def settle(world: CronWorld, spec) -> None:
    """Left alone until well after all that was said, it is at its newest time and has an empty plan."""
    world.change(suspend=False)
    for name in come(world):
        world.end(name)
    world.clock.advance(86_400 - (world.clock.now() - CREATED).total_seconds() % 60 + 0.5)
    for _ in range(3):
        world.reconcile()
        for name in come(world):
            world.end(name)

    now = world.clock.now()
    newest = now.replace(second=0, microsecond=0)
    status = world.get()["status"]
    said = [status.get(field) for field in ("lastScheduleTime", "lastMissedTime")]
    assert newest.strftime("%Y-%m-%dT%H:%M:%SZ") in said
    assert now - newest < timedelta(minutes=1)
    assert world.store.get(ObjectKey("CronJob", "default", "tick")) is not None
    cron_job = CRON_JOB.type.model_validate(world.get())
    assert not [
        s
        for s in world.kind.plan(cron_job, world.kind.observe(cron_job)).steps
        if type(s).__name__ not in ("DeleteJob", "MakeAhead")
    ]


def test_what_is_refused_is_refused_as_by_any_other_way(tmp_path):
    world = CronWorld(tmp_path)
    try:
        with pytest.raises(ApiError, match="startAt may not be set here"):
            world.apply(jobTemplate={"spec": {"command": ["true"], "startAt": "2026-01-01T00:00:00Z"}})
    finally:
        world.close()
