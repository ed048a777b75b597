"""SIGKILL in the middle of all that changes or reads trees and their store; judged by the digest of what is seen."""

import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.runtime.trees import install, origin, remembered, retired, store, tree, verify
from controller.runtime.trees.install import Host
from controller.runtime.trees.limiter import Limiter
from support.kills import in_a_child, kill_after, kill_at_event
from support.registry_fixtures import RegistryOnDisk, a_file, a_host, a_package
from support.tree_digests import digest_of

SHARED = [a_file(f"lib/shared{number}", b"shared %d" % number * 500) for number in range(40)]
VERSIONS = ("1.0.0", "1.1.0", "1.2.0")


class World:
    """A root with some versions that share files, and what each of them is when it is whole."""

    def __init__(self, directory: Path, host: Host) -> None:
        self.host = host
        self.registry = RegistryOnDisk(directory / "registry")
        for version in VERSIONS:
            self.registry.add("a", version, a_package("a", version, *SHARED))
        with a_host(directory / "reference") as reference:
            self.whole = {version: digest_of(self._install(version, reference)) for version in VERSIONS}

    def _install(self, version: str, host: Host) -> Path:
        return install.install(self.registry.package("a", version), host).path

    def install(self, version: str) -> None:
        self._install(version, self.host)

    def heal(self, version: str) -> None:
        install.install(self.registry.package("a", version), self.host, force=True, in_use=True)

    def remove(self, version: str) -> None:
        install.remove(self.host.root, "a", version)

    def verify(self, version: str) -> None:
        # A removal that was cut off leaves a record without a tree, which is no version that anybody looks at.
        if install.find(self.host.root, "a", version) is not None:
            report = verify.verify(self.host.root, "a", version, Limiter(1e12, self.host.clock), self.host.clock)
            assert report.whole, report

    def collect(self, _: str = "") -> None:
        store.collect(self.host.root)
        for aside in retired.find(self.host.root):
            retired.remove(aside)

    def seen(self) -> set[str]:
        """Return the versions that anyone sees: each must be whole, and its record be that of this very tree."""
        found = tree.scan(self.host.root)
        for runtime in found:
            assert runtime.problems == ()
            known = origin.read(self.host.root, "a", runtime.version)
            assert known is not None
            assert (runtime.version, digest_of(runtime.path)) == (runtime.version, self.whole[str(runtime.version)])
            before = remembered.read(self.host.root, "a", runtime.version)
            assert before is None or not before.differs(known)
            assert (known.digest, known.inode) == (self.whole[str(runtime.version)], runtime.path.stat().st_ino)
        return {str(runtime.version) for runtime in found}

    def start_again(self) -> None:
        """What the next start does, and then everything that is wanted: nothing may be left of before."""
        install.clean_staging(self.host.root)
        self.collect()
        for version in VERSIONS:
            self.install(version)
            self.verify(version)
        assert self.seen() == set(VERSIONS)
        assert os.listdir(self.host.root / origin.STAGING) == []
        names = {path.name for path in (self.host.root / origin.RECORDS).iterdir() if path.is_file()}
        remembering = {f"a-{version}.digest" for version in VERSIONS}
        assert names - remembering == {f"a-{v}.{kind}" for v in VERSIONS for kind in ("json", "files", "lock")}
        assert self.unshared() == 0

    def unshared(self) -> int:
        """Return how many of the files that are the same in all versions are not one."""
        counts = [(self.host.root / f"a-{VERSIONS[0]}" / item[0].name).stat().st_nlink for item in SHARED]
        return sum(count != len(VERSIONS) + 1 for count in counts)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_host(tmp_path / "root") as host:
        yield World(tmp_path, host)


def at_every_step(world: World, work: Callable[[], object], after: Callable[[], None], step: int = 1) -> int:
    """Kill `work` at every `step`-th step in turn, calling `after` each time; return how many there were."""
    for number in range(1, 5000, step):
        ended = in_a_child(work, kill_at_event(number))
        after()
        if ended == 0:
            return number
        assert ended == -signal.SIGKILL
    raise AssertionError("it never ends")


@pytest.mark.invariant("I9")
def test_healing_killed_at_any_step_shows_a_whole_tree_and_loses_none_that_is_used(world: World):
    world.install("1.0.0")

    def after() -> None:
        assert world.seen() == {"1.0.0"}
        world.heal("1.0.0")
        assert len(retired.find(world.host.root)) in (1, 2)
        assert world.seen() == {"1.0.0"}
        world.collect()

    assert at_every_step(world, lambda: world.heal("1.0.0"), after, step=7) > 100
    world.start_again()


def test_a_second_version_killed_at_any_step_harms_no_file_that_it_shares(world: World):
    world.install("1.0.0")

    def after() -> None:
        assert world.seen() >= {"1.0.0"}
        world.verify("1.0.0")
        world.remove("1.1.0")

    assert at_every_step(world, lambda: world.install("1.1.0"), after, step=9) > 100
    world.start_again()


def test_verifying_and_collecting_killed_at_any_step_change_no_tree(world: World):
    for version in VERSIONS:
        world.install(version)

    def verify_and_collect() -> None:
        world.verify("1.0.0")
        world.remove("1.2.0")
        world.collect()

    def after() -> None:
        assert world.seen() >= {"1.0.0", "1.1.0"}
        world.install("1.2.0")

    assert at_every_step(world, verify_and_collect, after, step=13) > 100
    world.start_again()


@pytest.mark.parametrize("kills", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_at_any_moment_of_anything_it_shows_whole_trees_only_and_the_next_start_converges(
    world: World, kills: int
):
    chance = random.Random(kills)
    works = (world.install, world.heal, world.verify, world.remove, world.collect)
    world.start_again()
    killed = 0
    for _ in range(kills):
        while True:
            work, version = chance.choice(works), chance.choice(VERSIONS)
            ended = in_a_child(
                lambda work=work, version=version: work(version), kill_after(chance.randrange(100, 25_000))
            )
            assert ended in (0, -signal.SIGALRM)
            world.seen()
            if ended:
                break
        killed += 1
        if chance.random() < 0.3:
            world.start_again()
    world.start_again()
    assert killed == kills
