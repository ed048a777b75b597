"""SIGKILL at any moment of a recipe, a composition or a build of this host's files, through install() itself.

A tree is whole or not there, judged by the digest of what is seen; no process, mount or cgroup of a build is left.
"""

import os
import random
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from api.types.runtime_sources import BuildLimits, BuildSource, ExtendsSource
from controller.cgroup import choose
from controller.linux import libc, mountinfo
from controller.runtime.build.declared import DeclaredBuild
from controller.runtime.build.recipe import RecipeSource
from controller.runtime.build.sandbox import sweep
from controller.runtime.sources.composition import Composition, Layer
from controller.runtime.trees import install, origin, retired, store, tree
from controller.runtime.trees.install import Host
from controller.runtime.trees.source import TreeSource
from support.building import A_MANIFEST, Building, a_recipe
from support.host import directory_on_disk
from support.kills import in_a_child, kill_after
from support.registry_fixtures import a_host
from support.tree_digests import digest_of

pytestmark = pytest.mark.needs_root

PR_SET_CHILD_SUBREAPER = 36
RECIPE, CHILD, BUILT = NAMES = ("recipe", "child", "built")
SCRIPT = f"""{A_MANIFEST}
for i in $(seq 40); do head -c 2000 /dev/zero | tr '\\0' "$i" > isolated/usr/bin/file$i; done
setsid sleep 1000 & cp isolated/usr/bin/file1 isolated/usr/bin/tool; chmod 755 isolated/usr/bin/tool
"""
FROM_HOST = {
    "base": {"from": "host"},
    "files": [{"path": "/opt/file", "text": "x" * 5000}],
    "run": ["setsid sleep 1000 & for i in 1 2 3 4 5; do cat /opt/file > /opt/file$i; done"],
}


class World:
    """A root with runtimes that are made here, and what each of them is when it is whole."""

    def __init__(self, building: Building, host: Host) -> None:
        self.building = building
        self.host = replace(host, build_recipe=building.recipes())
        self.package = a_recipe(building.directory / "package", SCRIPT)
        self.whole: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        with a_host(building.directory / "reference") as reference:
            reference = replace(reference, build_recipe=building.recipes())
            for name in NAMES:
                begun = time.monotonic()
                done = install.install(self.source(name, reference), reference)
                self.seconds[name] = time.monotonic() - begun
                self.whole[name] = digest_of(done.path)
        self.mounts = mounts()
        self.children = _children()

    def source(self, name: str, host: Host) -> TreeSource:
        """Return how it is made; what it is made of is there."""
        if name == RECIPE:
            return RecipeSource(name, "1.0.0", str(self.package), "", (), BuildLimits(), "recipe")
        if name == BUILT:
            return DeclaredBuild(name, "1.0.0", BuildSource.model_validate(FROM_HOST), None, self.building.host)
        parent = install.find(host.root, RECIPE, "1.0.0")
        known = origin.read(host.root, RECIPE, "1.0.0")
        assert parent is not None
        assert parent.manifest is not None
        assert known is not None
        layer = Layer(parent.spec, parent.path, known.digest, parent.manifest)
        own = {"runtimes": [RECIPE], "files": [{"path": "/usr/bin/own", "text": "own"}]}
        return Composition(name, "1.0.0", ExtendsSource.model_validate(own), (layer,))

    def make(self, name: str) -> None:
        if name != CHILD or RECIPE in self.seen():
            install.install(self.source(name, self.host), self.host)

    def make_again(self, name: str) -> None:
        if name != CHILD or RECIPE in self.seen():
            install.install(self.source(name, self.host), self.host, force=True, in_use=True)

    def remove(self, name: str) -> None:
        install.remove(self.host.root, name, "1.0.0")

    def seen(self) -> set[str]:
        """Return what anyone sees: each must be whole, and its record be that of this very tree."""
        found = tree.scan(self.host.root)
        for runtime in found:
            assert runtime.problems == ()
            known = origin.read(self.host.root, runtime.name, runtime.version)
            assert known is not None
            assert (runtime.name, digest_of(runtime.path)) == (runtime.name, self.whole[runtime.name])
            assert (known.digest, known.inode) == (self.whole[runtime.name], runtime.path.stat().st_ino)
        return {runtime.name for runtime in found}

    def start_again(self) -> None:
        """What the next start does, and then everything that is wanted: nothing may be left of before."""
        sweep(self.building.host.cgroup_parent)
        install.clean_staging(self.host.root)
        for aside in retired.find(self.host.root):
            retired.remove(aside)
        store.collect(self.host.root)
        for name in NAMES:
            self.make(name)
        assert self.seen() == set(NAMES)
        assert os.listdir(self.host.root / origin.STAGING) == []
        names = {path.name for path in (self.host.root / origin.RECORDS).iterdir() if path.is_file()}
        remembering = {f"{name}-1.0.0.digest" for name in NAMES}
        assert names - remembering == {f"{name}-1.0.0.{kind}" for name in NAMES for kind in ("json", "files", "lock")}
        assert cgroups(self.building) == []

    def assert_nothing_goes_on(self) -> None:
        """Fail unless all processes of what was killed end by themselves, soon, and its mounts with them."""
        _wait_until(lambda: _all_are_gone_but(self.children))
        assert mounts() == self.mounts


def mounts() -> set[str]:
    return {entry.mount_point for entry in mountinfo.parse(Path("/proc/self/mountinfo").read_text())}


def cgroups(building: Building) -> list[Path]:
    found = []
    for mount in set(choose.hierarchies_of_host().mounts.values()):
        parent = Path(mount) / building.host.cgroup_parent
        found += [path for path in parent.glob("*") if path.is_dir()]
    return found


def _all_are_gone_but(others: set[int]) -> bool:
    """Reap who has ended: with a subreaper, whatever a killed child has started is a child of ours by then."""
    while left := _children() - others:
        if not any(os.waitpid(pid, os.WNOHANG)[0] for pid in left):
            return False
    return True


def _children() -> set[int]:
    return {int(pid) for each in Path("/proc/self/task").glob("*/children") for pid in each.read_text().split()}


def _wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        select.poll().poll(10)
    raise AssertionError("it did not come to be so within ten seconds")


@pytest.fixture
def world(host_is_clean) -> Iterator[World]:
    building = Building.at(directory_on_disk("runwright-test-"))
    libc.syscall("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0, purpose="see what killed processes leave")
    try:
        with a_host(building.directory / "runtimes") as host:
            yield World(building, host)
    finally:
        libc.syscall("prctl", PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0, purpose="leave orphans to others again")
        sweep(building.host.cgroup_parent)
        building.close()


@pytest.mark.invariant("B3")
@pytest.mark.invariant("I9")
@pytest.mark.parametrize("kills", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_what_is_made_here_is_whole_or_not_there_whenever_its_making_is_killed(world: World, kills: int):
    chance = random.Random(kills)
    world.start_again()
    killed = dict.fromkeys(NAMES, 0)
    while sum(killed.values()) < kills:
        name = NAMES[sum(killed.values()) % len(NAMES)]
        work = chance.choice((world.make_again, world.make_again, world.make, world.remove))
        after = kill_after(chance.randrange(100, int(world.seconds[name] * 1_100_000)))
        ended = in_a_child(lambda work=work, name=name: work(name), after)
        assert ended in (0, -signal.SIGALRM)
        world.assert_nothing_goes_on()
        world.seen()
        if ended:
            killed[name] += 1
        if chance.random() < 0.3:
            world.start_again()
    world.start_again()
    assert min(killed.values()) >= kills // 3
