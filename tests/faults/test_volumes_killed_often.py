"""Two hundred kills while volumes are attached, detached, snapshotted and grown, in any order, used by runs or not.

After each: the next start finds the volume with all that was ever acknowledged to be in it, unmounts it, and no image
is damaged, the snapshots' included. The few of each commit: `test_volumes_killed.py`.
"""

import contextlib
import hashlib
import os
import random
import select
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.types.volume import VolumeType
from controller.volume import image
from controller.volume.backing import Backing
from controller.volume.found import CannotGrowInUse
from support.host import directory_on_disk
from support.kills import in_a_child, kill_after
from support.volumes import MIB, as_a_run, grow_as_the_engine_does, is_whole, nothing_is_mounted

pytestmark = [pytest.mark.needs_root, pytest.mark.slow, pytest.mark.usefixtures("host_is_clean")]
FILESYSTEM = VolumeType.FILESYSTEM
KILLS = 200
MOST_TRIES = 10 * KILLS
OPERATIONS = ("attach", "detach", "snapshot", "grow")
CONTENT = os.urandom(MIB // 4)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@dataclass(slots=True)
class Run:
    """A process that writes to the volume as a run does: what it has made durable, it says."""

    pid: int
    said: int
    last: int = 0

    @classmethod
    def begin(cls, data: Path, first: int) -> "Run":
        """Have one count up from `first` in the file `n`."""
        read, write = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            try:
                as_a_run(data, lambda: _count(write, first))
            finally:
                os._exit(0)
        os.close(write)
        run = cls(pid, read, first)
        run.wait_for_more()
        return run

    def wait_for_more(self) -> None:
        """Wait until it has written once more: it is not held still any longer, nor cut off."""
        os.read(self.said, 1 << 16)
        assert select.select([self.said], [], [], 60)[0], "the run is held still"
        self._hear()

    def end(self) -> int:
        """Kill it; return the last number that it said to be durable."""
        _end_with_children(self.pid)
        self._hear()
        os.close(self.said)
        return self.last

    def _hear(self) -> None:
        while select.select([self.said], [], [], 0)[0] and (heard := os.read(self.said, 1 << 16)):
            self.last = max(self.last, int(heard[: heard.rindex(b"\n")].rsplit(b"\n", 1)[-1]))


def _count(write: int, number: int) -> None:
    while True:
        number += 1
        Path("new").write_text(f"{number}\n")
        fd = os.open("new", os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        os.rename("new", "n")
        here = os.open(".", os.O_RDONLY)
        os.fsync(here)
        os.close(here)
        os.write(write, b"%d\n" % number)


def _end_with_children(pid: int) -> None:
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (*map(int, below), pid):
        os.kill(each, signal.SIGKILL)
    os.waitpid(pid, 0)


class Trial:
    """One volume, its snapshots, and what is known to be in them."""

    def __init__(self, root: Path, moments: random.Random) -> None:
        self.root, self.moments = root, moments
        self.size, self.counted, self.snapshots = MIB, 0, 0
        self.run: Run | None = None
        with_backing(root, self._begin)
        self.seconds = dict.fromkeys(OPERATIONS, 0.05)

    def _begin(self, backing: Backing) -> None:
        backing.make("v", FILESYSTEM, self.size)
        backing.attach("v", FILESYSTEM)
        as_a_run(backing.data("v", FILESYSTEM), lambda: Path("kept").write_bytes(CONTENT))
        backing.detach("v", self.is_unused)

    def is_unused(self) -> bool:
        return self.run is None

    def killed(self, operation: str) -> bool:
        """Do the operation and be killed in it, at any moment; look what there is then. Return whether that was so."""
        with_run = operation in ("snapshot", "grow") and self.moments.random() < 0.5
        with_backing(self.root, lambda backing: self._prepare(backing, operation, with_run=with_run))
        backing = Backing(self.root)
        begun = time.monotonic()
        after = int(self.moments.uniform(1, self.seconds[operation] * 1e6))
        ended = in_a_child(self._work(backing, operation), kill_after(after))
        backing.close()
        if ended == 0:  # It was faster than thought.
            self.seconds[operation] = (self.seconds[operation] + time.monotonic() - begun) / 2
        else:
            assert ended == -signal.SIGALRM
            self.seconds[operation] *= 1.02
        with_backing(self.root, lambda backing: self._look(backing, has_grown=operation == "grow"))
        nothing_is_mounted(self.root)
        is_whole(self.root / "v/image")
        return ended != 0

    def _prepare(self, backing: Backing, operation: str, *, with_run: bool) -> None:
        if operation == "detach" or with_run:
            backing.attach("v", FILESYSTEM)
        if with_run:
            self.run = Run.begin(backing.data("v", FILESYSTEM), self.counted)

    def _work(self, backing: Backing, operation: str) -> Callable[[], object]:
        def snapshot() -> None:
            backing.make(self._newest(), FILESYSTEM, 0, lambda to: backing.copy_of("v", to))

        def grow() -> None:
            with contextlib.suppress(CannotGrowInUse):  # As root without CAP_SYS_RESOURCE: that is no kill, then.
                backing.grow("v", FILESYSTEM, self.size + MIB, self.is_unused)

        if operation == "snapshot":
            self.snapshots += 1
        works = {
            "attach": lambda: backing.attach("v", FILESYSTEM),
            "detach": lambda: backing.detach("v", self.is_unused),
        }
        return works.get(operation) or {"snapshot": snapshot, "grow": grow}[operation]

    def _newest(self) -> str:
        return f"s{self.snapshots}"

    def _look(self, backing: Backing, *, has_grown: bool) -> None:
        """The next start: as the daemon does it, and what it would go on to do."""
        backing.sweep({"v", self._newest()})
        if self.run is not None:
            self.run.wait_for_more()
            self.counted, self.run = self.run.end(), None
        backing.attach("v", FILESYSTEM)
        self._holds_all(backing, "v", at_least=self.counted)
        if backing.taken(self._newest()) is None:
            backing.make(self._newest(), FILESYSTEM, 0, lambda to: backing.copy_of("v", to))
        is_whole(self.root / self._newest() / "image")
        if has_grown:
            self.size += MIB
            grow_as_the_engine_does(backing, "v", self.size)
        found = image.space(self.root / "v/mnt", backing.data("v", FILESYSTEM))
        assert found.capacity_bytes == self.size
        backing.attach(self._newest(), FILESYSTEM)
        self._holds_all(backing, self._newest(), at_least=0)
        for each in (self._newest(), "v"):
            assert backing.detach(each, self.is_unused)
        backing.remove(self._newest())

    def _holds_all(self, backing: Backing, uid: str, *, at_least: int) -> None:
        data = backing.data(uid, FILESYSTEM)
        assert hashlib.sha256((data / "kept").read_bytes()).hexdigest() == DIGEST
        number = data / "n"
        assert int(number.read_text()) >= at_least if number.exists() else not at_least


def with_backing(root: Path, work: Callable[[Backing], None]) -> None:
    backing = Backing(root)
    try:
        work(backing)
    finally:
        backing.close()


@pytest.mark.invariant("V3")
@pytest.mark.invariant("V6")
@pytest.mark.parametrize("seed", [20261122, None])
def test_two_hundred_kills_while_volumes_are_attached_detached_snapshotted_and_grown_lose_and_damage_nothing(seed):
    seed = random.SystemRandom().getrandbits(32) if seed is None else seed
    sys.stderr.write(f"seed {seed}\n")  # Which pytest shows if the test fails.
    moments, root = random.Random(seed), directory_on_disk("runwright-test-volumes-")
    trial, killed = Trial(root, moments), Counter()
    order = list(OPERATIONS) * (KILLS // len(OPERATIONS))
    moments.shuffle(order)
    for _ in range(MOST_TRIES):
        if not order:
            break
        if trial.killed(order[-1]):
            killed[order.pop()] += 1

    assert killed == dict.fromkeys(OPERATIONS, KILLS // len(OPERATIONS))
    shutil.rmtree(root)
