"""Which runs have a volume, and who is woken when they have it no more, whoever comes to know that first."""

import pytest

from api.kinds import VOLUME
from api.meta import ObjectKey
from api.types.job import Job
from controller.daemon.volumes_for_jobs import AutoCreate, VolumesForJobs
from controller.job.memory_place import MemoryPlace
from controller.job.run_dirs import RunDirs
from controller.job.volumes import VolumesMissing
from support.builders import a_job_document
from support.stores import a_store
from support.volumes import a_volume

MOUNTS = {"volumeMounts": [{"name": "data"}]}
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
THE_VOLUME = ObjectKey(VOLUME.name, "default", "data")


class World:
    """A store with a volume for one run at a time, and directories of runs; `woken` is who was."""

    def __init__(self, root, store):
        self.store, self.woken = store, []
        self.dirs = RunDirs(root / "runs", MemoryPlace(()))
        document = a_volume(accessModes=["ReadWriteOnce"]).model_dump(by_alias=True, exclude_unset=True, mode="json")
        document["metadata"] = {"name": "data", "namespace": "default"}
        made = store.create(document)
        self.uid = made["metadata"]["uid"]
        store.update_status(made | {"status": READY})
        auto_create = AutoCreate(False, 0)
        self.volumes = VolumesForJobs(store, None, self.dirs, None, {}, auto_create, self.woken.append)

    def a_job(self, name):
        return Job.model_validate(self.store.create(a_job_document(name, **MOUNTS)))

    def with_run(self, name, state):
        """Put on record that the job has a run with the volume, in this state; its directory is there while it runs."""
        document = self.store.get(ObjectKey("Job", "default", name))
        run = {"attempt": 1, "state": state, "bootId": "b", "volumes": [{"name": "data", "uid": self.uid}]}
        job = Job.model_validate(self.store.update_status(document | {"status": {"runs": [run]}}))
        directory = self.dirs.path(job.meta.uid, 1)
        if state == "Running":
            directory.mkdir(parents=True)
        return job, directory


@pytest.fixture
def world(tmp_path):
    with a_store(tmp_path) as store:
        yield World(tmp_path, store)


@pytest.fixture
def waiting(world):
    """A run of `first` has the volume, and `second` waits for it."""
    world.a_job("first")
    _, directory = world.with_run("first", "Running")
    second = world.a_job("second")
    found = world.volumes.find(second)
    assert isinstance(found, VolumesMissing)
    assert "run 1 of job/default/first has it" in found.message
    return second, directory


@pytest.mark.invariant("V4")
def test_who_waits_and_the_volume_are_woken_when_a_run_has_it_no_more(world, waiting):
    first, directory = world.with_run("first", "Ended")
    directory.rmdir()

    world.volumes.free(first, 1)

    assert world.woken == [THE_VOLUME, waiting[0].key]
    assert world.volumes.users(world.uid) == ()


@pytest.mark.invariant("V4")
def test_they_are_woken_too_if_somebody_else_sees_first_that_it_is_gone(world, waiting):
    """Between the removal of the run's directory and the word of it, anybody may look: a job, another volume."""
    first, directory = world.with_run("first", "Ended")
    directory.rmdir()

    assert world.volumes.users("the uid of another volume") == ()
    world.volumes.free(first, 1)

    assert world.woken == [THE_VOLUME, waiting[0].key]


def test_a_run_has_its_volumes_until_nothing_of_it_is_left(world, waiting):
    world.with_run("first", "Ended")  # Its directory is there still.

    assert [str(user) for user in world.volumes.users(world.uid)] == ["run 1 of job/default/first"]
    assert world.woken == []
