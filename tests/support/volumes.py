"""Volumes of a test's own, on a disk, as runs would see them: written to by who is nobody on this host."""

import contextlib
import errno
import os
import select
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from api.meta import Document
from api.types.volume import Volume, VolumeType
from api.types.volume_snapshot import VolumeSnapshot
from controller.engine.clock import Clock
from controller.linux import loop_device
from controller.sandbox.spec import NEUTRAL_ID
from controller.volume.backing import Backing
from support.host import directory_on_disk
from support.in_child import in_child

UID = "11111111-2222-3333-4444-555555555555"
MIB = 1 << 20
CREATED, DELETED = "2026-01-02T03:04:05Z", "2026-01-02T03:05:00Z"


@contextlib.contextmanager
def a_backing(clock: Clock | None = None) -> Iterator[Backing]:
    """Volumes below a directory on a disk; unmounted and removed afterwards."""
    root = directory_on_disk("runwright-test-volumes-")
    backing = Backing(root, clock)
    try:
        yield backing
    finally:
        backing.sweep(())
        backing.close()
        shutil.rmtree(root)


def as_a_run(directory: Path, work: Callable[[], object]) -> object:
    """Do `work` in the directory as the root of a run: no root here, and the owner of what is in volumes."""

    def body() -> object:
        os.chdir(directory)  # Which nobody else on the host may reach.
        os.setgroups([])
        os.setgid(NEUTRAL_ID)
        os.setuid(NEUTRAL_ID)
        return work()

    return in_child(body)


def is_whole(path: Path) -> None:
    """See that the file system of an image is undamaged."""
    checked = subprocess.run(["e2fsck", "-f", "-n", str(path)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def nothing_is_mounted(root: Path) -> None:
    """Wait for it: the kernel takes its time over the device of who was killed."""
    assert str(root) not in Path("/proc/self/mountinfo").read_text()
    for _ in range(500):
        device = loop_device.find(root / "v/image")
        if device is None:
            return
        device.close()
        select.poll().poll(10)
    raise AssertionError("a loop device is left")


def grow_as_the_engine_does(backing: Backing, uid: str, size_bytes: int) -> None:
    """Again and again while the kernel has not let go of the image."""
    for _ in range(500):
        try:
            return backing.grow(uid, VolumeType.FILESYSTEM, size_bytes, lambda: True)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            select.poll().poll(10)
    raise AssertionError("the kernel does not let go of the image")


def fill(directory: Path, name: str = "full") -> int:
    """Write to a file until there is no room for another block; return how many bytes it takes."""

    def work() -> int:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT)
        chunk = MIB
        while chunk >= 512:
            try:
                os.write(fd, b"x" * chunk)
            except OSError:
                chunk //= 2
        os.fsync(fd)
        return os.fstat(fd).st_blocks * 512  # With the blocks that say where its blocks are.

    return int(as_a_run(directory, work))  # type: ignore[call-overload]


def a_snapshot(
    name: str = "monday", *, status: dict[str, object] | None = None, deleting: bool = False, **spec: object
) -> VolumeSnapshot:
    """A VolumeSnapshot of the volume `data`, as it is stored."""
    document = snapshot_document(name, deleting=deleting, **spec)
    return VolumeSnapshot.model_validate(document | {"status": status or {}})


def snapshot_document(name: str = "monday", *, deleting: bool = False, **spec: object) -> Document:
    """A VolumeSnapshot of the volume `data`, as JSON."""
    metadata = {"name": name, "namespace": "default", "uid": UID, "generation": 1, "creationTimestamp": CREATED}
    metadata |= {"deletionTimestamp": DELETED} if deleting else {}
    spec = {"source": {"volumeName": "data"}} | spec
    return {"apiVersion": "runwright.dev/v1alpha1", "kind": "VolumeSnapshot", "metadata": metadata, "spec": spec}


def a_volume(
    name: str = "data", *, status: dict[str, object] | None = None, deleting: bool = False, **spec: object
) -> Volume:
    """A Volume as it is stored."""
    metadata = {"name": name, "namespace": "default", "uid": UID, "generation": 1, "resourceVersion": "1"}
    metadata |= {"deletionTimestamp": "2026-01-02T03:04:05Z"} if deleting else {}
    document = {"apiVersion": "runwright.dev/v1alpha1", "kind": "Volume", "metadata": metadata}
    return Volume.model_validate(document | {"spec": spec, "status": status or {}})
