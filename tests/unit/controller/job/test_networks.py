"""Which runs have an address, and that nothing of the run that had it is left when another is given it."""

import errno

import pytest

from api.kinds import JOB, NETWORK
from api.meta import ObjectKey
from api.types.job import Job
from api.types.job_network import RunNetwork
from controller.job.memory_place import MemoryPlace
from controller.job.networks import NetworkDefaults, Networks
from controller.job.observed import NetworkGiven, NetworkMissing
from controller.job.run_dirs import RunDirs
from support.builders import a_job_document
from support.stores import a_store

THE_NETWORK = ObjectKey(NETWORK.name, "default", "n")
PORTS = [{"containerPort": 80, "hostPort": 30080, "protocol": "TCP"}]


class Board:
    """Keeps what it was told to do, or fails to."""

    def __init__(self):
        self.done, self.failure = [], None
        self.rules = self

    def link_of(self, identity):
        return f"link-of-{identity}"

    def _do(self, what):
        if self.failure:
            raise self.failure
        self.done.append(what)

    def remove_link(self, identity):
        self._do(("remove", identity))

    def forget(self, owners):
        self._do(("forget", tuple(map(str, owners))))

    def put_rules(self):
        self._do("put")


class World:
    """A store with a network of one address, and directories of runs; `woken` is who was."""

    def __init__(self, root, store):
        self.store, self.woken, self.board = store, [], Board()
        self.dirs = RunDirs(root / "runs", MemoryPlace(()))
        metadata = {"name": "n", "namespace": "default"}
        network = {"apiVersion": NETWORK.api_version, "kind": "Network", "metadata": metadata, "spec": {}}
        ready = {"cidr": "10.1.0.0/30", "conditions": [{"type": "Ready", "status": "True"}]}
        store.update_status(store.create(network) | {"status": ready})
        self.networks = Networks(store, self.dirs, NetworkDefaults(), self.woken.append, lambda *_: None)
        self.networks.board = self.board

    def a_job(self, name, **network):
        return Job.model_validate(self.store.create(a_job_document(name, network={"name": "n", **network})))

    def with_run(self, name, state, given):
        """Put on record that the job has a run that was given this, in this state; its directory is there meanwhile."""
        document = self.store.get(ObjectKey(JOB.name, "default", name))
        run = {"attempt": 1, "state": state, "bootId": "b", "network": given.model_dump(by_alias=True, mode="json")}
        job = Job.model_validate(self.store.update_status(document | {"status": {"runs": [run]}}))
        directory = self.dirs.path(job.meta.uid, 1)
        if state == "Running":
            directory.mkdir(parents=True)
        else:
            directory.rmdir()
        return job


@pytest.fixture
def world(tmp_path):
    with a_store(tmp_path) as store:
        yield World(tmp_path, store)


@pytest.fixture
def ended(world):
    """A job whose run had the only address and a port, as nothing of it is left and nobody has said so."""
    job = world.a_job("first")
    found = world.networks.find(job)
    assert isinstance(found, NetworkGiven)
    assert found.network is not None
    given = found.network.model_copy(update={"ports": RunNetwork.model_validate({
        "name": "n", "address": "10.1.0.2", "ports": PORTS,
    }).ports})  # fmt: skip
    world.networks.claim(job, 1, given)
    world.with_run("first", "Running", given)
    assert isinstance(world.networks.find(world.a_job("early")), NetworkMissing)
    return world.with_run("first", "Ended", given)


def seen_off(job):
    return [("remove", f"{job.meta.uid}-1"), ("forget", ("10.1.0.2",)), "put"]


@pytest.mark.invariant("N4")
@pytest.mark.invariant("N6")
def test_who_sees_first_that_a_run_is_gone_has_nothing_of_it_left_before_its_address_is_given(world, ended):
    found = world.networks.find(world.a_job("second"))

    assert isinstance(found, NetworkGiven)
    assert found.network is not None
    assert found.network.address == "10.1.0.2"
    assert world.board.done == seen_off(ended)
    assert world.woken == [THE_NETWORK]


@pytest.mark.invariant("N4")
@pytest.mark.invariant("N6")
def test_an_address_stays_taken_for_as_long_as_something_of_its_run_is_left(world, ended):
    world.board.failure = OSError(errno.EBUSY, "no")
    second = world.a_job("second")
    assert isinstance(world.networks.find(second), NetworkMissing)
    assert world.networks.named(THE_NETWORK) == {}

    world.board.failure = None
    assert isinstance(world.networks.find(second), NetworkGiven)
    assert world.board.done == seen_off(ended)


def test_the_end_of_a_run_is_seen_to_whoever_was_there_before(world, ended):
    second = world.a_job("second")
    found = world.networks.find(second)
    world.board.done.clear()

    world.networks.free(ended, 1)
    assert world.board.done == seen_off(ended)
    assert world.networks.find(second) == found


@pytest.mark.invariant("N6")
def test_what_another_run_was_told_since_is_not_forgotten_by_that(world, ended):
    second = world.a_job("second")
    world.networks.claim(second, 1, world.networks.find(second).network)
    world.board.done.clear()

    world.networks.free(ended, 1)
    assert world.board.done == [("remove", f"{ended.meta.uid}-1"), ("forget", ()), "put"]
    assert set(world.networks.named(THE_NETWORK)) == {"second"}


def test_a_run_in_no_network_leaves_nothing(world):
    job = Job.model_validate(world.store.create(a_job_document("alone")))
    world.networks.free(job, 1)
    assert world.board.done == []


def test_a_job_that_has_not_changed_is_not_read_again_however_many_runs_of_it_there_are(world, monkeypatch):
    document = world.store.get(THE_NETWORK)
    world.store.update_status(document | {"status": document["status"] | {"cidr": "10.1.0.0/24"}})
    many, second = world.a_job("many"), world.a_job("second")
    for attempt in range(1, 21):
        given = RunNetwork.model_validate({"name": "n", "address": f"10.1.0.{attempt + 1}"})
        world.networks.claim(many, attempt, given)
    read, get = [], world.store.get

    def reading(key):
        read.append(key)
        return get(key)

    monkeypatch.setattr(world.store, "get", reading)
    found = world.networks.find(second)
    assert isinstance(found, NetworkGiven)
    world.networks.claim(second, 1, found.network)
    assert read == [THE_NETWORK]
