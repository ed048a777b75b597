"""No device is ever promised to two runs, whoever looks, stores, crashes, ends or leaves in between."""

import shutil
import stat
import tempfile
from itertools import combinations, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from api.errors import ApiError
from controller.devices import cdi
from controller.devices.allocation import Chosen, Taken, choose
from controller.devices.fitting import HostFile
from controller.devices.inventory import Inventory, merge
from controller.engine.errors import TransientError
from controller.job.observed import DevicesFree
from state.store import Store
from support.cdi import a_device, a_node, a_spec
from support.devices import Host
from support.hand_clock import HandClock

NAMES = ("0", "1", "2", "3")
JOBS = st.sampled_from(("a", "b", "c", "d"))


class Allocating(RuleBasedStateMachine):
    """Several workers between choice and record, and all that may come in between."""

    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="runwright-test-"))
        self.store = Store.open(self.root / "state.db", HandClock())
        self.host = Host(self.root / "runs", self.store, *NAMES)
        self.begun = []  # (the job as it was read, attempt, devices): chosen, and not yet on record.
        self.count = 0

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.root)

    def job(self, name):
        return self.host.job(name) if any(n == name for n in self.names()) else None

    def names(self):
        return [document["metadata"]["name"] for document in self.store.list("Job").items]

    @rule(name=JOBS, count=st.integers(1, 3))
    def declare_a_job(self, name, count):
        if self.job(name) is None:
            self.host.add(name, zero=count)

    @rule(name=JOBS)
    def choose_for_a_job(self, name):
        job = self.job(name)
        if job is None or any(run.state != "Ended" for run in job.status.runs):
            return
        if any(begun[0].meta.uid == job.meta.uid for begun in self.begun):
            return  # One worker a key.
        found = self.host.devices.find(job)
        if isinstance(found, DevicesFree):
            attempt = job.status.attempts + 1
            try:
                self.host.devices.claim(job, attempt, found.names, found.nodes)
            except TransientError:
                return
            self.host.dirs.make(job.meta.uid, attempt)
            self.begun.append((job, attempt, found))

    @rule(which=st.integers(0, 3))
    def put_it_on_record(self, which):
        if which < len(self.begun):
            job, attempt, found = self.begun.pop(which)
            try:
                self.host.record(job, attempt, found.names, nodes=found.nodes)
            except ApiError:
                return  # It was changed or deleted: nobody has those devices by it.

    @rule(name=JOBS)
    def change_a_job(self, name):
        if (job := self.job(name)) is not None:
            self.count += 1
            document = job.to_document()
            self.store.update(document | {"spec": document["spec"] | {"args": [str(self.count)]}})

    @rule()
    def kill_the_controller(self):
        self.begun.clear()
        self.host.restart()

    @rule(name=JOBS)
    def end_a_run(self, name):
        if (job := self.job(name)) is not None and job.status.runs and job.status.runs[-1].state != "Ended":
            last = job.status.runs[-1]
            self.host.record(job, last.attempt, last.devices, "Ended", last.device_nodes)

    @rule(name=JOBS)
    def remove_what_ended_runs_left(self, name):
        if (job := self.job(name)) is not None:
            for run in job.status.runs:
                if run.state == "Ended":
                    self.host.dirs.remove(job.meta.uid, run.attempt)
                    self.host.devices.free(job, run.attempt)

    @rule(name=JOBS)
    def be_cut_off_before_it_is_known_that_nothing_is_left(self, name):
        if (job := self.job(name)) is not None:
            for run in job.status.runs:
                if run.state == "Ended":
                    self.host.dirs.remove(job.meta.uid, run.attempt)

    @rule(name=JOBS)
    def delete_a_job(self, name):
        job = self.job(name)
        if job is not None and all(run.state == "Ended" for run in job.status.runs):
            for run in job.status.runs:
                self.host.dirs.remove(job.meta.uid, run.attempt)
                self.host.devices.free(job, run.attempt)
            self.store.delete(job.key)

    @rule(names=st.sets(st.sampled_from(NAMES)))
    def plug_and_unplug(self, names):
        self.host.declare(*sorted(names))

    @rule(names=st.lists(st.sampled_from(NAMES), unique=True, min_size=len(NAMES), max_size=len(NAMES)))
    def write_the_spec_again_with_other_names(self, names):
        self.host.declare(**dict(zip(NAMES, names, strict=True)))

    @rule(name=st.sampled_from(NAMES), nodes=st.sets(st.sampled_from(NAMES), min_size=1, max_size=2))
    def declare_a_device_of_several_nodes(self, name, nodes):
        self.host.declare(**({n: n for n in NAMES} | {name: " ".join(sorted(nodes))}))

    @invariant()
    def no_device_is_two_runs(self):
        had = []
        for name in self.names():
            job = self.host.job(name)
            for run in job.status.runs:
                if run.state != "Ended" or self.host.dirs.path(job.meta.uid, run.attempt).exists():
                    had += [node for text in run.device_nodes for node in text.split()]
        assert len(had) == len(set(had)), had


@pytest.mark.invariant("X30")
def test_no_device_is_promised_twice():
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Allocating, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))


@st.composite
def inventories(draw):
    """Devices of two kinds over a few nodes of two drivers, with second names, ones made of others, and overlaps."""
    specs = []
    for kind in ("a.com/x", "b.com/x"):
        names = draw(st.sets(st.sampled_from(("0", "1", "2", "0:0", "all", "uuid")), min_size=1))
        nodes = {
            name: sorted(draw(st.sets(st.sampled_from("pqrsXYZ"), min_size=1, max_size=3))) for name in sorted(names)
        }
        devices = [a_device(name, *(a_node(f"/dev/x/{n}", f"/dev/{n}") for n in own)) for name, own in nodes.items()]
        specs.append(cdi.parse(a_spec(*devices, kind=kind), f"/etc/cdi/{kind[0]}.json"))
    return merge([specs]).on_host(look)


def look(path):
    name = path.removeprefix("/dev/")
    return HostFile(stat.S_IFCHR | 0o666, 195 if name.islower() else 235, ord(name))


def assert_apart(one: frozenset[str], other: frozenset[str], inventory: Inventory):
    """Neither is a part of the other, and what they share is told apart by another driver or is of a whole kind."""
    assert not one <= other, (one, other)
    assert not other <= one, (one, other)
    drivers = {node.partition(":")[0] for node in one ^ other}
    for node in one & other:
        kinds = {name.partition("=")[0]: [] for name in inventory.nodes}
        for name, nodes in inventory.nodes.items():
            kinds[name.partition("=")[0]].append(nodes)
        of_a_whole_kind = any(
            len(set(sets)) > 1 and sum(node in nodes for nodes in sets) > 1 for sets in kinds.values()
        )
        alone = any(nodes == {node} for nodes in inventory.nodes.values())
        assert node.partition(":")[0] not in drivers or (of_a_whole_kind and not alone), (one, other)


@given(inventories(), st.dictionaries(st.sampled_from(("a.com/x", "b.com/x")), st.integers(0, 3)), st.data())
@settings(max_examples=300, deadline=None)
def test_what_is_chosen_is_as_wanted_and_nobodys_else(inventory: Inventory, wanted, data):
    names = data.draw(st.sets(st.sampled_from(sorted(inventory.devices))))
    held = [Taken(name, inventory.nodes[name], "job/x") for name in sorted(names)]

    found = choose(wanted, inventory, held)

    assert choose(wanted, inventory, held) == found
    if isinstance(found, Chosen):
        devices = [inventory.devices[name] for name in found.names]
        assert {kind: n for kind, n in wanted.items() if n} == {
            kind: sum(device.kind == kind for device in devices) for kind in {device.kind for device in devices}
        }
        nodes = [inventory.nodes[name] for name in found.names]
        for one, other in (*combinations(nodes, 2), *product(nodes, (each.nodes for each in held))):
            assert_apart(one, other, inventory)
        assert not set(found.names) & names


@given(inventories(), st.data())
@settings(max_examples=100, deadline=None)
def test_what_is_held_is_nobodys_by_whatever_names_specs_have_for_it_since(inventory: Inventory, data):
    name = data.draw(st.sampled_from(sorted(inventory.devices)))
    held = [Taken("gone.com/x=gone", inventory.nodes[name], "job/x")]

    for kind in inventory.kinds():
        found = choose({kind: 1}, inventory, held)
        if isinstance(found, Chosen):
            assert_apart(inventory.nodes[found.names[0]], inventory.nodes[name], inventory)


@given(inventories())
@settings(max_examples=200, deadline=None)
def test_all_devices_of_a_kind_that_count_can_be_had_together(inventory: Inventory):
    for kind in inventory.kinds():
        countable = inventory.countable(kind)
        assert isinstance(choose({kind: len(countable)}, inventory, []), Chosen)
        assert countable or all(name in (f"{kind}=all",) for name in inventory.devices if name.startswith(f"{kind}="))
