"""What volumes cost: from a file to a mounted file system of an exact size, and back; beside what the kernel needs.

    python tests/bench/bench_volumes.py [ROUNDS]

The floor is the same file's kind attached to a loop device and mounted by system calls alone; mount(8) is what most
would do. On the disk of /var/tmp; in turn, so that whatever else the machine does is shared.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from api.types.volume import VolumeType  # noqa: E402
from controller.linux import loop_device, mount_api  # noqa: E402
from controller.linux.mount_api import MountAttribute  # noqa: E402
from controller.volume.backing import Backing  # noqa: E402
from support.host import directory_on_disk  # noqa: E402

SIZE_BYTES = 1 << 30
MOST_MS = 15.0
KIND = VolumeType.FILESYSTEM


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def show(name: str, times: list[float]) -> float:
    ordered = sorted(each * 1000 for each in times)
    median, high = statistics.median(ordered), ordered[int(len(ordered) * 0.95)]
    print(f"{name:<28} median {median:6.2f} ms   95% {high:6.2f} ms")
    return median


def mount_bare(path: Path, place: Path) -> None:
    """A loop device and a mount of it: LOOP_CONFIGURE, fsopen, fsconfig, fsmount, move_mount."""
    with loop_device.attach(path) as device:
        tree = mount_api.new_filesystem("ext4", {"source": device.path}, MountAttribute.NOSUID | MountAttribute.NODEV)
    with tree:
        mount_api.attach(tree, place)


def main(rounds: int) -> None:
    root = directory_on_disk("runwright-bench-")
    backing, by_hand = Backing(root), root / "by-hand"
    by_hand.mkdir()
    made = [seconds(lambda name=f"v{number}": backing.make(name, KIND, SIZE_BYTES)) for number in range(5)]
    attached, detached, mounted, bare = [], [], [], []
    try:
        for _ in range(rounds):
            attached.append(seconds(lambda: backing.attach("v0", KIND)))
            detached.append(seconds(lambda: backing.detach("v0", lambda: True)))
            bare.append(seconds(lambda: mount_bare(root / "v2/image", by_hand)))
            mount_api.unmount(str(by_hand), lazy=False)
            command = ["mount", "-o", "loop", str(root / "v1/image"), str(by_hand)]
            mounted.append(seconds(lambda command=command: subprocess.run(command, check=True)))
            subprocess.run(["umount", str(by_hand)], check=True)
    finally:
        backing.sweep(())
        backing.close()
        shutil.rmtree(root)
    show("make (1 GiB)", made)
    median = show("attach: mounted, size exact", attached)
    floor = show("the floor: bare system calls", bare)
    show("detach", detached)
    show("mount -o loop, for comparison", mounted)
    kept = "kept" if median < MOST_MS else "NOT KEPT"
    print(
        f"a volume is mounted in {median:.1f} ms, wanted below {MOST_MS:.0f}: {kept}; {median / floor:.2f} of the floor"
    )
    print(f"others had the processors busy: load {os.getloadavg()[0]:.1f} of {os.cpu_count()}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
