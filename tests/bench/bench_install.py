"""What runtimes cost: an install beside `tar -xzf` and `sha256sum` of the same file, memory, disk, and resolving.

    python tests/bench/bench_install.py [ROUNDS]

The runtime is made here: 200 MB in 7,000 small files and some large ones, which compress as real ones do. Its second
version changes every twentieth file, and the times of all. Everything is done on the disk of /var/tmp, tar and
installs in turn, each after a sync; the install includes writing all of it through to the disk, tar does not.
"""

import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from controller.daemon.runtimes_for_jobs import RuntimesForJobs  # noqa: E402
from controller.engine.clock import SystemClock  # noqa: E402
from controller.job.observed import RuntimeReady  # noqa: E402
from controller.registry import catalogue, location  # noqa: E402
from controller.registry.cache import CatalogueCache  # noqa: E402
from controller.runtime.sources.offers import Offers  # noqa: E402
from controller.runtime.sources.registry import Package  # noqa: E402
from controller.runtime.trees import install, origin, tree  # noqa: E402
from controller.runtime.trees.installed import InstalledTrees  # noqa: E402
from controller.runtime.trees.scans import Scans  # noqa: E402
from state.store import Store  # noqa: E402
from support.registry_fixtures import PLATFORM, a_host, a_tree  # noqa: E402

DEFAULT_ROUNDS = 5
SMALL_FILES, LARGE_FILES, LARGE_BYTES = 7000, 20, 6 << 20
TREES = 1000
NAME = "big"


def main() -> int:
    if sys.argv[1:2] == ["--install-once"]:
        install_once(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
        print(peak_bytes())
        return 0
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_ROUNDS
    work = Path(tempfile.mkdtemp(prefix="runwright-bench-", dir="/var/tmp"))
    try:
        registry, archive, size = make_registry(work)
        report_time(*measure_times(work, registry, archive, rounds), archive, size)
        report_memory(install_in_a_child(work, registry))
        report_disk(*measure_disk(work, registry))
        report_resolving(measure_resolving(work))
    finally:
        shutil.rmtree(work)
    return 0


class Maker:
    """Makes files that look like a runtime's; the same ones each time."""

    def __init__(self) -> None:
        self._random = random.Random(5)
        letters = b"abcdefghijklmnopqrstuvwxyz_"
        words = [bytes(self._random.choices(letters, k=self._random.randint(2, 11))) for _ in range(4000)]
        chosen = [words[min(int(self._random.paretovariate(0.7)), 3999)] for _ in range(600_000)]
        self._text = b"\n".join(b" ".join(chosen[at : at + 8]) for at in range(0, len(chosen), 8))

    def write(self, tree: Path) -> None:
        (tree / "isolated" / "bin").mkdir(parents=True)
        mounts = '- {source: "isolated/bin", target: "/bin", readonly: true}'
        (tree / "runtime.yml").write_text(f"name: {NAME}\nversion: '3.11'\nmounts:\n  {mounts}\n")
        for number in range(SMALL_FILES):
            directory = tree / "isolated" / "lib" / f"package{number // 40}"
            directory.mkdir(parents=True, exist_ok=True)
            size = min(int(self._random.lognormvariate(8.8, 1)), 200_000)
            (directory / f"m{number}.py").write_bytes(b"# %d\n" % number + self._some_text(size))
        for number in range(LARGE_FILES):
            (tree / "isolated" / "bin" / f"lib{number}.so").write_bytes(self._binary())

    def _some_text(self, size: int) -> bytes:
        start = self._random.randrange(len(self._text) - size)
        return self._text[start : start + size]

    def _binary(self) -> bytes:
        pieces = [
            self._random.randbytes(256) if self._random.random() < 0.45 else self._some_text(512)
            for _ in range(LARGE_BYTES // 256)
        ]
        return b"".join(pieces)[:LARGE_BYTES]


def make_registry(work: Path) -> tuple[Path, Path, int]:
    """Make the registry with both versions; return it, the archive of the first, and what that expands to."""
    tree, registry = work / "tree", work / "registry"
    registry.mkdir()
    Maker().write(tree)
    files = sorted(path for path in tree.rglob("*") if path.is_file() and path.name != "runtime.yml")
    size = sum(path.stat().st_size for path in files)
    entries = {"1.0.0": pack(tree, registry / "1.tar.gz", "1.0.0")}
    for path in files[::20]:
        path.write_bytes(path.read_bytes() + b"changed")
    for path in files:
        os.utime(path, (1_750_000_000, 1_750_000_000))
    entries["1.1.0"] = pack(tree, registry / "2.tar.gz", "1.1.0")
    (registry / "registry.json").write_text(json.dumps({"version": "1", "runtimes": {NAME: entries}}))
    shutil.rmtree(tree)
    return registry, registry / "1.tar.gz", size


def pack(tree: Path, archive: Path, version: str) -> dict[str, object]:
    with tarfile.open(archive, "w:gz", compresslevel=6) as tar:
        tar.add(tree, NAME)
    with archive.open("rb") as file:
        checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "version": version, "description": "for the bench", "download_url": archive.name,
        "checksum": f"sha256:{checksum}", "size": archive.stat().st_size, "platforms": [PLATFORM],
    }  # fmt: skip


def install_once(root: Path, registry: Path, version: str) -> None:
    found = catalogue.parse((registry / "registry.json").read_bytes())
    entry = catalogue.find(found, NAME, version)
    url = location.archive_url(location.locate(str(registry)), entry.download_url)
    with a_host(root) as host:
        install.install(Package(entry, url, "bench"), host)


def measure_times(work: Path, registry: Path, archive: Path, rounds: int) -> tuple[list[float], list[float]]:
    theirs, ours = [], []
    for _ in range(rounds + 1):
        theirs.append(timed(lambda: untar(archive, work / "untarred"), work / "untarred"))
        ours.append(timed(lambda: install_once(work / "root", registry, "1.0.0"), work / "root"))
    return theirs[1:], ours[1:]  # The first time the disk and its caches are cold.


def untar(archive: Path, to: Path) -> None:
    to.mkdir()
    for command in (["tar", "-xzf", archive, "-C", to], ["sha256sum", archive]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def timed(work: Callable[[], None], makes: Path) -> float:
    os.sync()
    before = time.perf_counter()
    work()
    took = time.perf_counter() - before
    shutil.rmtree(makes)
    return took


def install_in_a_child(work: Path, registry: Path) -> int:
    command = [sys.executable, __file__, "--install-once", work / "child", registry, "1.0.0"]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    shutil.rmtree(work / "child")
    return int(said)


def peak_bytes() -> int:
    """The most memory that this process ever had; ru_maxrss would count what its parent had when it forked."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024


def measure_disk(work: Path, registry: Path) -> tuple[int, int]:
    """Return what the root takes with the first version, and what the second adds."""
    install_once(work / "root", registry, "1.0.0")
    one = disk_bytes(work / "root")
    install_once(work / "root", registry, "1.1.0")
    both = disk_bytes(work / "root")
    return one, both - one


def disk_bytes(root: Path) -> int:
    os.sync()
    inodes = {(status := os.lstat(path)).st_ino: status.st_blocks for path in root.rglob("*")}
    return sum(inodes.values()) * 512


def measure_resolving(work: Path) -> dict[str, float]:
    """Return how long it takes to tell a job what its spec means, trees and records being looked at; medians.

    The last ones are to look at the records after one of them changed, as a verification changes it, and at the trees
    after one more came: by who remembers the others, and by who remembers none.
    """
    root = work / "many"
    (root / origin.RECORDS).mkdir(parents=True)
    for number in range(TREES):
        a_tree(root / f"a-1.{number}.0", "a")
        origin.write(root, a_record(number))
    clock = SystemClock()
    store = Store.open(work / "store.db", clock)
    try:
        with a_host(work / "host") as host:
            trees = InstalledTrees(root)
            offers = Offers(store, CatalogueCache(work / "cache", host.client, clock))
            jobs = RuntimesForJobs(trees, store, offers, enabled=True)
            one_resolution(jobs, "a@1.0.0")  # Reads all trees, which is measured below.
            times = {}
            for spec in ("a", "a@1.500.0", "a@latest", "a@^1.3"):
                found = [one_resolution(jobs, spec) for _ in range(30)]
                times[f"{spec} at first"], times[spec] = found[0], statistics.median(found[1:])
        times["records after a change"] = statistics.median(one_look(root, trees, number) for number in range(30))
        scans, more = Scans(root), range(TREES, TREES + 20)
        scans.scan()
        times["trees after one more"] = statistics.median(one_scan(root, scans.scan, number) for number in more)
        anew = range(TREES + 20, TREES + 40)
        times["trees anew"] = statistics.median(one_scan(root, lambda: tree.scan(root), number) for number in anew)
        return times
    finally:
        store.close()


def a_record(number: int, health: str = origin.HEALTHY) -> origin.Origin:
    version = f"1.{number}.0"
    at = "2026-01-01T00:00:00Z"
    return origin.Origin("a", version, "bench", "", "0" * 64, 1, 1, 1, at, digest="0" * 64, health=health)


def one_resolution(jobs: RuntimesForJobs, spec: str) -> float:
    before = time.perf_counter()
    found = jobs.find(spec, may_install=False)
    took = time.perf_counter() - before
    if not isinstance(found, RuntimeReady):
        raise SystemExit(f"cannot resolve {spec}: {found}")
    return took


def one_look(root: Path, trees: InstalledTrees, number: int) -> float:
    origin.write(root, a_record(number, origin.UNHEALTHY))
    before = time.perf_counter()
    unhealthy = trees.records.unhealthy("a")
    took = time.perf_counter() - before
    if len(unhealthy) != number + 1:
        raise SystemExit(f"cannot see a change of a record: {len(unhealthy)} of {number + 1} are seen")
    return took


def one_scan(root: Path, scan: Callable[[], tuple[tree.InstalledRuntime, ...]], number: int) -> float:
    a_tree(root / f"a-1.{number}.0", "a")
    before = time.perf_counter()
    found = scan()
    took = time.perf_counter() - before
    if len(found) != number + 1:
        raise SystemExit(f"cannot see a new tree: {len(found)} of {number + 1} are seen")
    return took


def report_time(theirs: list[float], ours: list[float], archive: Path, size: int) -> None:
    packed = archive.stat().st_size
    print(f"install of {size / 1e6:.0f} MB ({packed / 1e6:.0f} MB packed), {len(ours)} rounds in turn; seconds")
    print("                          best   median")
    for name, times in (("tar -xzf and sha256sum", theirs), ("install", ours)):
        print(f"{name:24} {min(times):6.2f}   {statistics.median(times):6.2f}")
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"ratio                    {min(ours) / min(theirs):6.2f}   {ratio:6.2f}   goal: at most 1.25")


def report_memory(peak_bytes: int) -> None:
    print(f"peak memory of a process that installs it: {peak_bytes / 1e6:.0f} MB, goal: under 100")


def report_disk(one: int, more: int) -> None:
    share = 100 * more / one
    print(
        f"first version on disk: {one / 1e6:.0f} MB; a second with 95 % of its files: {share:.1f} % more, goal: under 10"
    )


def report_resolving(times: dict[str, float]) -> None:
    shown = ", ".join(f"{spec} {1000 * seconds:.1f}" for spec, seconds in times.items())
    print(f"resolving among {TREES} versions, milliseconds: {shown}; goal of the specs: under 5")


if __name__ == "__main__":
    sys.exit(main())
