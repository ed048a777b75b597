"""What volumes are made of, on a real disk: exact sizes, mounts that come and go, growing, copies."""

import contextlib
import errno
import mmap
import os
import select
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.types.volume import VolumeType
from controller.linux import loop_device, mount_api, mountinfo
from controller.linux.libc import SyscallError
from controller.linux.mount_api import MountAttribute
from controller.volume import damage, trimming
from controller.volume.found import BeingCopied, Damaged
from support.hand_clock import HandClock
from support.volumes import MIB, UID, a_backing, as_a_run, fill

pytestmark = pytest.mark.needs_root
FILESYSTEM, MEMORY, CACHE = VolumeType.FILESYSTEM, VolumeType.MEMORY, VolumeType.CACHE


@pytest.fixture
def backing(host_is_clean):
    with a_backing() as backing:
        yield backing


def unused() -> bool:
    return True


def mounts() -> list[str]:
    return [
        entry.mount_point
        for entry in mountinfo.parse(Path("/proc/self/mountinfo").read_text())
        if UID in entry.mount_point
    ]


def attached(backing, size_bytes, type_=FILESYSTEM) -> Path:
    backing.make(UID, type_, size_bytes)
    backing.attach(UID, type_)
    return backing.data(UID, type_)


@pytest.mark.invariant("V1")
@pytest.mark.parametrize("blocks", [1, 255, 256, 4099])
def test_a_filesystem_holds_its_size_and_not_a_block_more(backing, blocks):
    data = attached(backing, blocks * 4096)

    assert fill(data) == blocks * 4096
    assert backing.find(UID, FILESYSTEM).used_bytes == blocks * 4096
    (data / "full").unlink()
    assert fill(data) == blocks * 4096


@pytest.mark.invariant("V1")
def test_a_filesystem_holds_many_small_files_and_directories_to_the_block(backing):
    data = attached(backing, 64 * 4096)

    def work() -> int:
        for number in range(1000):
            try:
                Path(f"d{number}").mkdir()
                Path(f"d{number}/f").write_text("x")
            except OSError:
                break
        os.sync()
        return sum(path.lstat().st_blocks for path in Path().rglob("*")) * 512 + (os.lstat(".").st_blocks - 8) * 512

    assert as_a_run(data, work) == 64 * 4096


@pytest.mark.invariant("V1")
@pytest.mark.parametrize("work", ["small_files_in_pieces", "preallocated_files_in_pieces"])
def test_a_filesystem_that_several_fill_with_files_in_pieces_holds_no_block_more(backing, work):
    data = attached(backing, 8 * MIB)
    with ThreadPoolExecutor(2) as beside:
        done = [beside.submit(as_a_run, data, globals()[work]) for _ in range(2)]
    assert [each.result() for each in done] == [None, None]

    here = [data, *data.rglob("*")]
    assert sum(path.lstat().st_blocks for path in here) * 512 <= 8 * MIB + 4096  # The first of `data` itself is ours.
    assert backing.find(UID, FILESYSTEM).used_bytes >= 8 * MIB - 16 * 4096


def small_files_in_pieces() -> None:
    """Fill the directory with files that each need a block that says where their blocks are."""
    for number in range(2000):
        fd = os.open(f"{os.getpid()}-{number}", os.O_RDWR | os.O_CREAT)
        try:
            for at in range(0, 6 * 8192, 8192):
                os.pwrite(fd, b"x", at)
        except OSError:
            break
        finally:
            os.close(fd)
    os.sync()


def preallocated_files_in_pieces() -> None:
    """Fill the directory with files that have their blocks, and come to be in pieces when these are written to."""
    size, block, fds = MIB, mmap.mmap(-1, 4096), []  # Which is aligned, as writing around the cache wants it.
    while size >= 4096:
        fds.append(os.open(f"{os.getpid()}-{len(fds)}", os.O_RDWR | os.O_CREAT | os.O_DIRECT))
        try:
            os.posix_fallocate(fds[-1], 0, size)
        except OSError:
            size //= 2
    for fd in fds:
        with contextlib.suppress(OSError):
            for at in range(0, os.fstat(fd).st_size, 8192):
                os.pwrite(fd, block, at)
    os.sync()


def test_memory_holds_its_size_and_not_a_block_more(backing):
    data = attached(backing, 37 * 4096, MEMORY)

    assert fill(data) == 37 * 4096
    assert backing.find(UID, MEMORY).used_bytes == 37 * 4096


@pytest.mark.invariant("V1")
def test_a_filesystem_that_is_grown_in_use_holds_its_new_size_to_the_block(backing):
    data = attached(backing, MIB)
    held_open = (data / "open").open("w")

    backing.grow(UID, FILESYSTEM, 3 * MIB + 4096, lambda: False)

    held_open.close()
    (data / "open").unlink()
    assert fill(data) == 3 * MIB + 4096


@pytest.mark.invariant("V1")
def test_a_filesystem_that_nobody_uses_can_be_grown_to_any_size(backing):
    data = attached(backing, MIB)
    fill(data, "before")

    backing.grow(UID, FILESYSTEM, 100 * MIB + 4096, unused)

    assert (data / "before").stat().st_size == MIB
    assert fill(data) == 99 * MIB + 4096


def test_memory_is_grown_with_what_it_holds(backing):
    data = attached(backing, MIB, MEMORY)
    fill(data)

    backing.grow(UID, MEMORY, 2 * MIB, unused)

    assert (data / "full").stat().st_size == MIB
    assert fill(data, "more") == MIB


def let_go(image):
    """Wait until the image has no device any more: whoever copied its mount meanwhile, as a new namespace does, goes."""
    for _ in range(2000):
        device = loop_device.find(image)
        if device is None:
            return
        device.close()
        select.poll().poll(5)
    raise AssertionError(f"{image} still has a device")


def test_what_was_unmounted_is_there_again_when_it_is_mounted_again(backing):
    data = attached(backing, MIB)
    as_a_run(data, lambda: Path("kept").write_text("kept"))

    assert backing.detach(UID, unused)
    assert mounts() == []
    let_go(data.parent.parent / "image")
    backing.attach(UID, FILESYSTEM)

    assert (data / "kept").read_text() == "kept"


def test_a_volume_that_is_used_is_not_unmounted(backing):
    attached(backing, MIB)

    assert not backing.detach(UID, lambda: False)
    assert len(mounts()) == 1


def test_attaching_twice_mounts_once(backing):
    attached(backing, MIB)

    backing.attach(UID, FILESYSTEM)

    assert len(mounts()) == 1


def test_a_file_has_one_device_however_often_it_is_asked_for(backing):
    data = attached(backing, MIB)
    path = data.parent.parent / "image"

    with loop_device.attach(path) as one, loop_device.attach(path) as another:
        assert one.path == another.path


@pytest.mark.invariant("V3")
def test_a_copy_of_a_volume_that_is_written_to_is_whole(backing, tmp_path):
    data = attached(backing, MIB)
    as_a_run(data, lambda: Path("kept").write_text("kept"))

    backing.make("copy", FILESYSTEM, 0, lambda to: backing.copy_of(UID, to))
    backing.attach("copy", FILESYSTEM)

    assert (backing.data("copy", FILESYSTEM) / "kept").read_text() == "kept"
    as_a_run(data, lambda: Path("more").write_text("more"))
    assert not (backing.data("copy", FILESYSTEM) / "more").exists()


@pytest.mark.invariant("V6")
def test_what_is_asked_of_a_volume_while_it_is_copied_is_told_so_and_it_goes_on_afterwards(backing):
    data = attached(backing, MIB)
    os.mkfifo(data.parent.parent / "to.copy")  # Who copies waits here for somebody who reads.

    with ThreadPoolExecutor(1) as beside:
        copying = beside.submit(backing.copy_of, UID, data.parent.parent / "to")
        while not backing.find(UID, FILESYSTEM).is_being_copied:
            select.poll().poll(1)
        for ask in (
            lambda: backing.attach(UID, FILESYSTEM),
            lambda: backing.detach(UID, unused),
            lambda: backing.grow(UID, FILESYSTEM, 2 * MIB, unused),
            lambda: backing.remove(UID),
            lambda: backing.copy_of(UID, data.parent.parent / "another"),
        ):
            with pytest.raises(BeingCopied):
                ask()
        os.close(os.open(data.parent.parent / "to.copy", os.O_RDONLY))
        with pytest.raises(OSError, match=r"EINVAL|EPIPE|Invalid argument"):
            copying.result()

    assert not backing.find(UID, FILESYSTEM).is_being_copied
    as_a_run(data, lambda: Path("more").write_text("it goes on"))


@pytest.mark.invariant("V6")
def test_a_snapshot_holds_its_moment_and_says_when_that_was(backing):
    data = attached(backing, MIB)
    as_a_run(data, lambda: Path("kept").write_text("kept"))

    backing.make("snapshot", FILESYSTEM, 0, lambda to: backing.copy_of(UID, to))
    as_a_run(data, lambda: Path("kept").write_text("changed"))
    backing.grow(UID, FILESYSTEM, 3 * MIB, unused)
    backing.make("restored", FILESYSTEM, 0, lambda to: backing.copy_of("snapshot", to))
    backing.attach("restored", FILESYSTEM)

    taken, image = backing.taken("snapshot"), data.parents[2] / "snapshot/image"
    assert (taken.size_bytes, taken.at, taken.disk_bytes) == (MIB, image.stat().st_mtime, image.stat().st_blocks * 512)
    restored = backing.data("restored", FILESYSTEM)
    assert (restored / "kept").read_text() == "kept"
    assert fill(restored) == MIB - 4096
    assert backing.taken("never") is None


def test_a_copy_that_the_disk_has_no_room_for_is_not_begun(backing, tmp_path):
    data = attached(backing, 8 * MIB)
    fill(data)
    with mount_api.new_filesystem("tmpfs", {"size": "1m"}, MountAttribute.NOSUID) as tree:
        mount_api.attach(tree, tmp_path)
    try:
        with pytest.raises(OSError, match=r"the host's disk has 1Mi left: remove something"):
            backing.copy_of(UID, tmp_path / "copy")
        assert list(tmp_path.iterdir()) == []
    finally:
        mount_api.unmount(str(tmp_path), lazy=False)


def test_a_cache_loses_its_oldest_files_when_it_is_too_large(backing):
    data = attached(backing, MIB, CACHE)
    for number in range(3):
        (data / str(number)).write_bytes(b"x" * (MIB // 2))
        os.utime(data / str(number), (number, number))

    backing.trim(UID)

    assert sorted(path.name for path in data.iterdir()) == ["1", "2"]


def test_a_cache_is_looked_at_once_a_minute_and_when_it_was_trimmed(monkeypatch):
    clock, looks, real = HandClock(), [], trimming.usage

    def usage(directory):
        looks.append(directory)
        return real(directory)

    monkeypatch.setattr(trimming, "usage", usage)
    with a_backing(clock) as backing:
        data = attached(backing, MIB, CACHE)
        first = backing.find(UID, CACHE)
        (data / "large").write_bytes(b"x" * 2 * MIB)
        clock.advance(59)
        before = backing.find(UID, CACHE)
        assert (before.used_bytes, first.used_anew_in_seconds, before.used_anew_in_seconds) == (
            first.used_bytes,
            None,
            pytest.approx(1),
        )
        clock.advance(1)
        assert backing.find(UID, CACHE).used_bytes >= 2 * MIB
        assert len(looks) == 2

        backing.trim(UID)
        assert backing.find(UID, CACHE).used_bytes < MIB


def test_a_run_gets_its_cache_while_it_is_looked_at(backing, monkeypatch):
    attached(backing, MIB, CACHE)
    real = trimming.usage

    def usage(directory):
        with ThreadPoolExecutor(1) as pool:  # Which waits for nobody who looks.
            pool.submit(backing.grow, UID, CACHE, 2 * MIB, lambda: False).result(timeout=20)
        return real(directory)

    monkeypatch.setattr(trimming, "usage", usage)

    assert backing.find(UID, CACHE).capacity_bytes == MIB
    assert backing.find(UID, CACHE).capacity_bytes == 2 * MIB


def test_what_is_removed_is_gone_with_its_mount(backing):
    attached(backing, MIB)

    backing.remove(UID)

    assert backing.is_gone(UID)
    assert mounts() == []


def test_what_is_retained_is_put_aside_under_its_name(backing):
    data = attached(backing, MIB)

    backing.retain(UID, "default", "data")

    assert backing.is_gone(UID)
    assert mounts() == []
    assert (data.parents[2] / "retained/default/data" / UID / "image").exists()


def test_what_no_volume_knows_is_unmounted_at_the_start_and_its_files_stay(backing):
    data = attached(backing, MIB)

    assert backing.sweep(["another"]) == (f"volume {UID} was mounted, and nobody knows it",)
    assert mounts() == []
    assert (data.parent.parent / "image").exists()


def image_of(data) -> Path:
    return data.parent.parent / "image"


def overwrite(path, content):
    with path.open("r+b") as file:
        before = file.read(len(content))
        file.seek(0)
        file.write(content)
        os.fsync(file.fileno())
    return before


def test_a_damaged_image_is_told_with_what_e2fsck_says_until_it_is_mended(backing):
    data = attached(backing, MIB)
    (data / "kept").write_text("kept")
    assert backing.detach(UID, unused)
    before = overwrite(image_of(data), b"\xff" * 16384)
    assert backing.find(UID, FILESYSTEM).damage == ""  # Nobody has looked so far.

    with pytest.raises(Damaged) as refused:
        backing.attach(UID, FILESYSTEM)

    why = backing.find(UID, FILESYSTEM).damage
    assert why == refused.value.why
    assert why.startswith("its file system is damaged: e2fsck says: ext2fs_open2: Bad magic number in super-block: ")
    assert f"e2fsck -f {image_of(data)}" in why
    with pytest.raises(Damaged):
        backing.grow(UID, FILESYSTEM, 2 * MIB, unused)

    overwrite(image_of(data), before)
    assert backing.find(UID, FILESYSTEM).damage == ""
    backing.attach(UID, FILESYSTEM)
    assert (data / "kept").read_text() == "kept"


def test_an_image_that_cannot_be_mounted_and_is_whole_is_not_called_damaged(backing):
    data = attached(backing, MIB)
    assert backing.detach(UID, unused)

    assert damage.look(image_of(data), SyscallError("fsconfig", "mount it", errno.EINVAL)) == ""
    assert damage.known(image_of(data)) == ""


def test_one_that_the_kernel_has_stopped_writing_to_says_so_until_it_is_mounted_anew(backing):
    data = attached(backing, MIB)
    device = os.stat(data).st_dev
    name = os.path.basename(os.readlink(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"))
    Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("1")

    assert "and writes no more" in backing.find(UID, FILESYSTEM).damage

    assert backing.detach(UID, unused)
    backing.attach(UID, FILESYSTEM)
    assert backing.find(UID, FILESYSTEM).damage == ""
