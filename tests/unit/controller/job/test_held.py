"""What runs hold is known as it is now, whoever looks, and at what cost."""

import pytest

from api.meta import ObjectKey
from api.types.job import Job
from controller.job.held import Held
from controller.job.memory_place import MemoryPlace
from controller.job.run_dirs import RunDirs
from support.builders import a_job_document
from support.stores import a_store, an_event


class Counting:
    """A store that counts what is read of it."""

    def __init__(self, store):
        self._store, self.read = store, []

    def get(self, key):
        self.read.append(key.name)
        return self._store.get(key)

    def __getattr__(self, name):
        return getattr(self._store, name)


class World:
    """Jobs whose runs hold their package cache, for the sake of an example; `woken` is who was."""

    def __init__(self, root, store):
        self.store, self.counting, self.woken = store, Counting(store), []
        self.dirs = RunDirs(root / "runs", MemoryPlace(()))
        self.restart()

    def restart(self):
        def read(run):
            return run.get("packageCache")

        def concerned(freed):
            return [ObjectKey("Waiter", "", each.what) for each in freed]

        self.held = Held(self.counting, self.dirs, ('"packageCache"',), read, concerned, self.woken.append)

    def put(self, name, *states):
        """Have a job with runs in these states, which hold NAME; return it as it is then."""
        document = self.store.get(ObjectKey("Job", "default", name)) or self.store.create(a_job_document(name))
        runs = [
            {"attempt": attempt, "state": state, "packageCache": name}
            for attempt, state in enumerate(states, 1)
            if state
        ]
        return Job.model_validate(self.store.update_status(document | {"status": {"runs": runs}}))

    def look(self):
        with self.held.alone():
            return [f"{each.what}-{each.attempt}" for each in self.held.all()]


@pytest.fixture
def world(tmp_path):
    with a_store(tmp_path) as store:
        yield World(tmp_path, store)


def test_a_job_is_read_once_however_many_runs_it_has_and_again_only_when_it_has_changed_a_lot(world):
    world.put("many", *["Running"] * 200)
    world.put("other", "Running")

    assert len(world.look()) == 201
    assert sorted(world.counting.read) == ["many", "other"]
    world.put("many", *["Running"] * 199, None)
    assert len(world.look()) == 200
    assert len(world.counting.read) == 2
    for number in range(200):
        world.store.create(an_event(f"e.{number}"))
    assert len(world.look()) == 200
    assert len(world.counting.read) == 4


def test_what_became_of_a_job_is_seen_at_each_look(world):
    job = world.put("etl", "Running", "Running")
    directory = world.dirs.make(job.meta.uid, 1)
    assert world.look() == ["etl-1", "etl-2"]

    world.put("etl", "Ended", "Ended")
    assert world.look() == ["etl-1"]
    directory.rmdir()
    assert world.look() == []


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_who_has_a_job_that_is_gone_holds_nothing(world, is_made_anew):
    world.put("etl", "Running")
    assert world.look() == ["etl-1"]

    world.store.delete(ObjectKey("Job", "default", "etl"))
    if is_made_anew:
        world.put("etl", "Running")  # A run that nobody chose anything for here.

    assert world.look() == []


def test_history_that_was_compacted_away_is_not_needed(world):
    world.put("etl", "Running")
    assert world.look() == ["etl-1"]

    world.put("etl", None)
    world.put("other", None)
    world.store.compact(keep=0)

    assert world.look() == []


def test_whom_it_concerns_is_woken_once_whoever_saw_it_first(world):
    job = world.put("etl", "Running")
    assert world.look() == ["etl-1"]
    world.put("etl", "Ended")

    assert world.look() == []
    with world.held.alone():
        assert not world.held.let_go(job.meta.uid, 1)

    assert world.woken == [ObjectKey("Waiter", "", "etl")]


def look_and_fail(world):
    with world.held.alone():
        world.held.all()
        raise ZeroDivisionError


def test_what_ended_and_left_nothing_is_not_even_read_as_held(world):
    world.put("etl", "Ended", "Running")
    world.put("old", "Ended")
    path_of_old_run = world.dirs.path(world.put("kept", "Ended").meta.uid, 1)
    path_of_old_run.mkdir(parents=True)

    with world.held.alone():
        assert {f"{each.what}-{each.attempt}" for each in world.held.known()} == {"etl-2", "kept-1"}

    assert world.woken == []


def test_they_are_woken_too_if_what_was_done_meanwhile_failed(world):
    world.put("etl", "Running")
    assert world.look() == ["etl-1"]
    world.put("etl", "Ended")

    with pytest.raises(ZeroDivisionError):
        look_and_fail(world)

    assert world.woken == [ObjectKey("Waiter", "", "etl")]


def test_a_choice_is_held_until_its_record_cannot_be_stored_any_more(world):
    job = world.put("etl")
    with world.held.alone():
        world.held.hold(job, 1, "chosen")
        assert world.held.others(job) == ()
    assert world.look() == ["chosen-1"]

    world.put("etl", None, None, "Running")

    assert world.look() == []
