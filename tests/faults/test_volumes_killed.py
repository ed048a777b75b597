"""Whoever is killed while a volume is attached, detached, copied or grown: nothing is lost, damaged or left mounted."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from api.types.volume import VolumeType
from controller.volume.backing import Backing
from support.host import directory_on_disk
from support.kills import in_a_child, kill_after
from support.volumes import MIB, as_a_run, grow_as_the_engine_does, is_whole, nothing_is_mounted

pytestmark = [pytest.mark.needs_root, pytest.mark.usefixtures("host_is_clean")]
FILESYSTEM = VolumeType.FILESYSTEM
CONTENT = os.urandom(MIB // 4)
KILLS = 12  # Of each test: two hundred in `test_volumes_killed_often.py`.


def always() -> bool:
    return True


@pytest.fixture
def root():
    root = directory_on_disk("runwright-test-volumes-")
    backing = Backing(root)
    backing.make("v", FILESYSTEM, MIB)
    backing.attach("v", FILESYSTEM)
    as_a_run(backing.data("v", FILESYSTEM), lambda: Path("kept").write_bytes(CONTENT))
    backing.detach("v", always)
    backing.close()
    yield root
    nothing_is_mounted(root)
    is_whole(root / "v/image")
    shutil.rmtree(root)


def the_next_start(root: Path) -> Backing:
    """What the next daemon does: it looks at everything, unmounts what nobody has, and mounts the volume for a run."""
    backing = Backing(root)
    backing.sweep({"v", "copy"})
    backing.attach("v", FILESYSTEM)
    assert (backing.data("v", FILESYSTEM) / "kept").read_bytes() == CONTENT
    return backing


def kills(root: Path, work: Callable[[Backing], object], after: Callable[[Backing], object] = lambda _: None) -> int:
    """Kill who does `work`, at another moment each time, from before it begins to after it ends; look, do `after`.

    Return how often it was killed before its end.
    """

    def body() -> None:
        work(Backing(root))

    ended = []
    for number in range(KILLS):
        ended.append(in_a_child(body, kill_after(1 + number * 2900)))
        backing = the_next_start(root)
        after(backing)
        assert backing.detach("v", always)
        backing.close()
    return ended.count(-signal.SIGALRM)


@pytest.mark.invariant("V3")
def test_who_is_killed_while_it_attaches_and_detaches_damages_nothing(root):
    def work(backing: Backing) -> None:
        backing.attach("v", FILESYSTEM)
        backing.detach("v", always)

    assert kills(root, work) > 0


@pytest.mark.invariant("V3")
def test_who_is_killed_while_it_copies_leaves_the_source_going_and_no_half_copy(root):
    def work(backing: Backing) -> None:
        backing.attach("v", FILESYSTEM)
        backing.make("copy", FILESYSTEM, 0, lambda to: backing.copy_of("v", to))

    def after(backing: Backing) -> None:
        as_a_run(backing.data("v", FILESYSTEM), lambda: Path("more").write_text("it goes on"))
        if backing.find("copy", FILESYSTEM) is not None:
            is_whole(root / "copy/image")
        backing.remove("copy")

    assert kills(root, work, after) > 0


@pytest.mark.invariant("V3")
def test_who_is_killed_while_it_grows_one_leaves_what_can_be_grown(root):
    sizes = iter(range(2, 2 + KILLS))

    def after(backing: Backing) -> None:
        size_bytes = 2 * next(sizes) * MIB
        grow_as_the_engine_does(backing, "v", size_bytes)
        seen = os.statvfs(backing.data("v", FILESYSTEM))
        assert seen.f_bavail * seen.f_frsize == size_bytes - len(CONTENT)

    assert kills(root, lambda backing: backing.grow("v", FILESYSTEM, grown(root), always), after) > 0


def grown(root: Path) -> int:
    return int((root / "v/size").read_text()) + 2 * MIB


@pytest.mark.invariant("V3")
def test_who_is_killed_while_it_makes_one_makes_it_the_next_time(root):
    def after(backing: Backing) -> None:
        backing.make("copy", FILESYSTEM, MIB)
        is_whole(root / "copy/image")
        backing.remove("copy")

    assert kills(root, lambda backing: backing.make("copy", FILESYSTEM, MIB), after) > 0
