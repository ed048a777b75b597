"""A runtime driven through random wishes, failures, users and crashes, against the pure plan and report."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.runtime.observed import ObservedRuntime, Wanted
from controller.runtime.plan import plan
from controller.runtime.report import report
from support.hand_clock import START
from support.runtime_builders import a_package_of, a_runtime, a_tree_of, observed, pretend

VERSIONS = ("1.0.0", "1.1.0", "2.0.0")
SETS = st.frozensets(st.sampled_from(VERSIONS))
TREES = st.lists(
    st.builds(a_tree_of, st.sampled_from(VERSIONS), ours=st.booleans(), problem=st.sampled_from(["", "broken"])),
    max_size=3, unique_by=lambda tree: tree.version,
)  # fmt: skip


@dataclass
class World:
    """A host on which some versions cannot be installed, and which reports that as the installer does."""

    host: ObservedRuntime
    wanted: frozenset[str]
    fails: frozenset[str]
    used: frozenset[str]
    deleting: bool
    failed: set[str] = field(default_factory=set)

    def look(self) -> ObservedRuntime:
        wanted = () if self.deleting else tuple(self._wanted(version) for version in sorted(self.wanted))
        in_use = dict.fromkeys(self.used, ("job/default/etl",))
        return replace(self.host, wanted=wanted, in_use=in_use)

    def _wanted(self, version: str) -> Wanted:
        if self.host.tree(version):
            return Wanted(version, version)
        if version in self.failed:
            return Wanted(version, version, None, "ChecksumMismatch", "it fails", 1.0)
        return Wanted(version, version, a_package_of(version))

    def in_the_way(self) -> frozenset[str]:
        return frozenset(tree.version for tree in self.host.trees if tree.origin is None and tree.problem)

    def do(self, step: object) -> None:
        before = {tree for tree in self.host.trees if tree.version in self.used or tree.origin is None}
        self.host = pretend(self.host, step, self.fails | self.in_the_way())
        assert before <= set(self.host.trees), "nothing that is in use or that others put there is touched"
        for package in getattr(step, "sources", ()):
            if not self.host.tree(package.version):
                self.failed.add(package.version)


@pytest.mark.invariant("I4")
@settings(max_examples=300, deadline=None)
@given(TREES, SETS, SETS, SETS, st.booleans(), st.lists(st.integers(0, 2), max_size=4))
def test_a_plan_converges_however_often_it_is_cut_short(trees, wanted, fails, used, deleting, crashes):
    world = World(observed(*trees), wanted, fails, used, deleting)
    runtime = a_runtime(*sorted(wanted), deleting=deleting)
    for steps_before_crash in crashes:
        for step in plan(runtime, world.look()).steps[:steps_before_crash]:
            world.do(step)
        world.failed.clear()  # A restart forgets failures.
    for _ in range(10):
        for step in plan(runtime, world.look()).steps:
            world.do(step)

    now = world.look()
    assert plan(runtime, now).steps == ()
    _check(world, now)
    status = report(runtime, now, plan(runtime, now), START)
    assert (status.conditions[0].status == "True") == (not deleting and not now.lacking())


def _check(world: World, now: ObservedRuntime) -> None:
    ours = {tree.version for tree in now.trees if tree.origin}
    if world.deleting:
        assert ours <= world.used
        return
    lacking = {wanted.version for wanted in now.lacking()}
    assert lacking <= world.fails | world.in_the_way() | world.used
    if not lacking:
        assert ours <= world.wanted | world.used
