"""No device is ever promised to two runs, whoever looks, stores, crashes, ends or leaves in between."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from api.errors import ApiError
from controller.devices import cdi
from controller.devices.allocation import Chosen, choose
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
                self.host.devices.claim(job, attempt, found.names)
            except TransientError:
                return
            self.host.dirs.make(job.meta.uid, attempt)
            self.begun.append((job, attempt, found.names))

    @rule(which=st.integers(0, 3))
    def put_it_on_record(self, which):
        if which < len(self.begun):
            try:
                self.host.record(*self.begun.pop(which))
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
            self.host.record(job, last.attempt, last.devices, "Ended")

    @rule(name=JOBS)
    def remove_what_ended_runs_left(self, name):
        if (job := self.job(name)) is not None:
            for run in job.status.runs:
                if run.state == "Ended":
                    self.host.dirs.remove(job.meta.uid, run.attempt)
                    self.host.devices.free(job, run.attempt)

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

    @invariant()
    def no_device_is_two_runs(self):
        had = []
        for name in self.names():
            job = self.host.job(name)
            for run in job.status.runs:
                if run.state != "Ended" or self.host.dirs.path(job.meta.uid, run.attempt).exists():
                    had += run.devices
        assert len(had) == len(set(had)), had


@pytest.mark.invariant("X30")
def test_no_device_is_promised_twice():
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Allocating, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))


@st.composite
def inventories(draw):
    """Devices of two kinds over a few nodes, with second names, ones made of others, and nodes in common."""
    specs = []
    for kind in ("a.com/x", "b.com/x"):
        names = draw(st.sets(st.sampled_from(("0", "1", "2", "all", "uuid")), min_size=1))
        nodes = {name: sorted(draw(st.sets(st.sampled_from("pqrs"), min_size=1, max_size=3))) for name in sorted(names)}
        devices = [a_device(name, *(a_node(f"/dev/x/{n}", f"/dev/{n}") for n in own)) for name, own in nodes.items()]
        specs.append(cdi.parse(a_spec(*devices, kind=kind), f"/etc/cdi/{kind[0]}.json"))
    return merge([specs])


@given(inventories(), st.dictionaries(st.sampled_from(("a.com/x", "b.com/x")), st.integers(0, 3)), st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_chosen_is_as_wanted_and_nobodys_else(inventory: Inventory, wanted, data):
    held = dict.fromkeys(data.draw(st.sets(st.sampled_from(sorted(inventory.devices)))), "job/x")

    found = choose(wanted, inventory, held)

    assert choose(wanted, inventory, held) == found
    if isinstance(found, Chosen):
        devices = [inventory.devices[name] for name in found.names]
        assert {kind: n for kind, n in wanted.items() if n} == {
            kind: sum(device.kind == kind for device in devices) for kind in {device.kind for device in devices}
        }
        nodes = [device.nodes for device in devices]
        assert len(set(nodes)) == len(nodes)
        assert not {inventory.devices[name].nodes for name in held} & set(nodes)
        assert not set(found.names) & set(held)
