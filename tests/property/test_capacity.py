"""The host is never promised twice, whoever looks, stores, crashes, ends or leaves; and nobody waits for ever."""

import contextlib
import shutil
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from api.errors import ApiError
from api.types.job import RunState
from controller.capacity.amounts import need, plus
from controller.capacity.giving_way import victims
from controller.capacity.line import Line, Order, Waiting
from controller.capacity.turns import Promised, Rules, decide
from controller.job import requests
from controller.job.observed import Admitted
from support.capacity import Host, key

ROOM = {"cpu": 4000, "memory": 64 << 20, "ephemeral-storage": 0, "pods": 3}
NAMES = tuple("abcdef")
OF_MANY_RUNS = frozenset("ef")
JOBS = st.sampled_from(NAMES)
SECOND = 1_000_000


class Promising(RuleBasedStateMachine):
    """Several workers between decision and record, and all that may come in between."""

    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="runwright-test-"))
        self.host = Host(self.root, ROOM, preemption=True)
        self.host.add_class("high", 10)
        for number, name in enumerate(NAMES):
            wanted = {"cpu": number % 3 + 1, "memory": f"{8 * (number % 4)}Mi"}
            self.host.add(name, "default", "high" if number % 2 else "", **wanted)
        self.begun = {}

    def teardown(self):
        self.host.close()
        shutil.rmtree(self.root)

    def attempt(self, job):
        return max((run.attempt for run in job.status.runs), default=0) + 1

    def is_free(self, job):
        """Whether a pass would come to begin a run: nothing is there of one that has ended, or is about to begin."""
        active = {run.attempt for run in job.status.runs if run.state is not RunState.ENDED}
        name = job.meta.name
        is_clean = active.issuperset(self.host.dirs.attempts(job.meta.uid))
        return is_clean and (len(active) < 3 and name not in self.begun if name in OF_MANY_RUNS else not active)

    @rule(name=JOBS)
    def asks(self, name):
        job = self.host.job(name)
        if self.is_free(job):
            self.host.ask(name)

    @rule(name=JOBS)
    def begins(self, name):
        job = self.host.job(name)
        if self.is_free(job) and isinstance(turn := self.host.ask(name), Admitted):
            self.host.hold(job, self.attempt(job))
            self.begun[name] = (job, self.attempt(job), turn)

    @rule(name=JOBS)
    def records(self, name):
        if name in self.begun:
            job, attempt, turn = self.begun.pop(name)
            with contextlib.suppress(ApiError):
                self.host.record(job, attempt, turn)

    @rule(name=JOBS)
    def changes(self, name):
        job = self.host.job(name)
        document = job.to_document()
        document["metadata"]["labels"] = {"changed": str(job.meta.resource_version)}
        self.host.store.update(document)
        self.host.capacity.look_after(self.host.job(name))

    @rule(name=JOBS)
    def leaves(self, name):
        if name not in self.begun:
            self.host.capacity.leave(key(name))

    @rule(name=JOBS, removed=st.booleans())
    def ends(self, name, removed):
        job = self.host.job(name)
        for run in job.status.runs:
            if run.state is not RunState.ENDED and name not in self.begun:
                self.host.end(name, attempt=run.attempt, removed=removed)

    @rule(name=JOBS)
    def clears(self, name):
        job = self.host.job(name)
        active = {run.attempt for run in job.status.runs if run.state is not RunState.ENDED}
        for attempt in self.host.dirs.attempts(job.meta.uid):
            if attempt not in active and name not in self.begun:
                self.host.remove(name, attempt=attempt)

    @rule()
    def crashes(self):
        self.begun.clear()
        self.host.restart()

    @rule(seconds=st.sampled_from((1, 700, 4000)))
    def waits(self, seconds):
        self.host.clock.advance(seconds)

    @invariant()
    def the_host_is_not_promised_twice(self):
        given_ = {}
        for name in NAMES:
            job = self.host.job(name)
            there = self.host.dirs.attempts(job.meta.uid)
            for run in job.status.runs:
                if run.state is not RunState.ENDED or run.attempt in there:
                    plus(given_, requests.promised_to(run))
        for name, (job, _, turn) in self.begun.items():
            if self.host.job(name).meta.resource_version == job.meta.resource_version:
                plus(given_, turn.need)
        assert all(amount <= ROOM[name] for name, amount in given_.items()), given_

    @invariant()
    def the_book_has_at_least_that_and_no_more_than_there_is(self):
        assert all(amount <= ROOM[name] for name, amount in self.host.capacity.promised().items())


TestPromising = pytest.mark.invariant("Q1")(Promising.TestCase)
TestPromising.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


@pytest.mark.invariant("Q1")
def test_many_threads_never_promise_the_host_twice(tmp_path):
    host = Host(tmp_path, ROOM | {"pods": 50})
    names = [f"j{number}" for number in range(60)]
    for number, name in enumerate(names):
        host.add(name, f"n{number % 3}", cpu=number % 4 + 1)
    over, begun, lock = [], [], threading.Lock()

    def work(mine):
        left = list(mine)
        while left:
            for name in list(left):
                space = f"n{int(name[1:]) % 3}"
                if isinstance(host.ask(name, space), Admitted):
                    host.begin(name, space)
                    over.extend(x for x in host.capacity.promised().items() if x[1] > host.room[x[0]])
                    with lock:
                        begun.append(name)
                    host.end(name, space)
                    left.remove(name)

    threads = [threading.Thread(target=work, args=(names[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    try:
        assert (over, sorted(begun), host.capacity.promised()) == ([], sorted(names), {})
    finally:
        host.close()


class World:
    """Time in ticks; runs that end; jobs that come: over the pure decisions alone."""

    def __init__(self, ageing, reserve, *, preemption):
        self.line = Line(Order((0, 1, 2), ageing))
        self.rules = Rules(reserve)
        self.preemption = preemption
        self.now = 0
        self.running = {}  # Of each, when it ends and what it has.
        self.started = {}
        self.preempted = {}

    def used(self):
        found = {}
        for _, run in self.running.values():
            plus(found.setdefault(run.key.namespace, {}), run.need)
        return found

    def tick(self, seconds, lasts):
        self.now += seconds * SECOND
        self.running = {name: each for name, each in self.running.items() if each[0] > self.now}
        while True:
            turns = decide(self.line, [run for _, run in self.running.values()], FEW, self.used(), self.now, self.rules)
            for one in turns.begin:
                self.line.remove(one.key)
                run = Promised(one.key, 1, one.need, one.priority, one.since, self.now)
                self.running[one.key.name] = (self.now + lasts(one) * SECOND, run)
                self.started.setdefault(one.key.name, self.now)
            used = {}
            for each in self.used().values():
                plus(used, tuple(each.items()))
            assert all(amount <= FEW[name] for name, amount in used.items())
            if not (self.preemption and turns.blocked):
                return
            free = {name: amount - used.get(name, 0) for name, amount in FEW.items()}
            runs = [run for _, run in self.running.values()]
            gone = victims(turns.blocked, runs, free, (), self.line.tier)
            for run in gone:
                del self.running[run.key.name]
                self.preempted[run.key.name] = self.preempted.get(run.key.name, 0) + 1
                self.line.add(Waiting(run.key, run.key.name, run.priority, run.queued, run.need, preempts=True))
            if not gone:
                return


FEW = {"cpu": 4, "pods": 4}
COMING = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 4), st.integers(1, 30), st.sampled_from(("x", "y"))), max_size=30
)


@pytest.mark.invariant("Q2")
@given(coming=COMING, preemption=st.booleans())
@settings(max_examples=100, deadline=None)
def test_nobody_waits_for_ever_behind_others_that_keep_coming(coming, preemption):
    world = World(60, 10, preemption=preemption)
    world.line.add(Waiting(key("big"), "big", 0, 0, need({"cpu": 4, "pods": 1})))
    stream = coming or [(2, 1, 30, "x")]
    lasting = {"big": 5}

    for step in range(600):
        priority, cpu, seconds, space = stream[step % len(stream)]
        lasting[f"s{step}"] = seconds
        new = Waiting(key(f"s{step}", space), f"s{step}", priority, world.now, need({"cpu": cpu, "pods": 1}))
        if len(world.line) < 20:  # It is overloaded all the time, and its queue is bounded.
            world.line.add(new)
        world.tick(2, lambda one: lasting[one.key.name])
        if "big" in world.started and "big" not in world.running:
            break

    assert "big" in world.started
    assert world.started["big"] < 900 * SECOND


@pytest.mark.invariant("Q3")
@given(coming=COMING)
@settings(max_examples=100, deadline=None)
def test_who_gives_way_does_so_a_few_times_at_most(coming):
    world = World(60, 10, preemption=True)
    lasting = {"low": 40}
    world.line.add(Waiting(key("low"), "low", 0, 0, need({"cpu": 2, "pods": 1})))

    for step in range(400):
        priority, cpu, seconds, space = (coming or [(2, 2, 10, "x")])[step % max(1, len(coming))]
        lasting[f"s{step}"] = seconds
        if len(world.line) < 20:
            world.line.add(
                Waiting(key(f"s{step}", space), f"s{step}", priority, world.now, need({"cpu": cpu, "pods": 1}), True)
            )
        world.tick(2, lambda one: lasting[one.key.name])

    # It is stopped only for who comes before it: nobody does any more once it has waited two periods a step.
    assert world.preempted.get("low", 0) <= 5 * 60 / 2
    assert "low" not in world.running
    assert world.line.get(key("low")) is None


@pytest.mark.invariant("Q4")
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3), st.sampled_from("xyz")), min_size=1, max_size=40))
def test_a_queue_drains_in_order_of_priority(jobs):
    line = Line(Order(tuple(range(5)), 3600))
    for number, (priority, cpu, space) in enumerate(jobs):
        line.add(Waiting(key(f"j{number}", space), f"j{number}", priority, number, need({"cpu": cpu, "pods": 1})))
    order = []

    while len(line):
        turns = decide(line, (), {"cpu": 3, "pods": 1}, {}, 10**6, Rules())
        assert len(turns.begin) == 1
        order.append(turns.begin[0])
        line.remove(turns.begin[0].key)

    assert [one.priority for one in order] == sorted((one.priority for one in order), reverse=True)
    for space in "xyz":
        for priority in range(5):
            mine = [one.since for one in order if (one.key.namespace, one.priority) == (space, priority)]
            assert mine == sorted(mine)
