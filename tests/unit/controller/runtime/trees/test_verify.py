"""Whether a tree still holds what was installed, and healing one that does not."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from controller.engine.errors import TransientError
from controller.runtime.trees import install, locks, origin, retired, store, verify
from controller.runtime.trees.install import Host
from controller.runtime.trees.limiter import Limiter, Stopped
from controller.runtime.trees.verify import Difference, VerifyReport
from support.hand_clock import HandClock
from support.registry_fixtures import RegistryOnDisk, a_file, a_package, a_tree, snapshot

PROGRAM = "isolated/bin/python3"


@pytest.fixture
def registry(tmp_path: Path) -> RegistryOnDisk:
    registry = RegistryOnDisk(tmp_path / "registry")
    for version in ("1.0.0", "1.1.0"):
        registry.add("a", version, a_package("a", "same", a_file("own", version.encode())))
    return registry


@pytest.fixture
def tree(host: Host, registry: RegistryOnDisk) -> Path:
    return install.install(registry.package("a", "1.0.0"), host).path


def look(host: Host, version: str = "1.0.0", limiter: Limiter | None = None) -> VerifyReport:
    return verify.verify(host.root, "a", version, limiter or Limiter(1e12, host.clock), host.clock)


def record(host: Host, version: str = "1.0.0") -> origin.Origin:
    known = origin.read(host.root, "a", version)
    assert known is not None
    return known


def test_a_tree_that_is_as_it_was_installed_is_whole_and_its_record_says_when(host: Host, tree: Path):
    report = look(host)

    assert (report.whole, report.differing, report.drift) == (True, (), "")
    assert report.digest == record(host).digest
    assert (record(host).verified_at, record(host).drift) == ("2026-01-02T03:04:05Z", "")


def change(tree: Path) -> None:
    (tree / PROGRAM).write_bytes(b"\x7fELF harmed")


def in_place_with_its_time(tree: Path) -> None:
    before = (tree / PROGRAM).stat()
    with (tree / PROGRAM).open("r+b") as file:
        file.write(b"harm")
    os.utime(tree / PROGRAM, ns=(before.st_atime_ns, before.st_mtime_ns))


def to_a_link(tree: Path) -> None:
    (tree / PROGRAM).unlink()
    (tree / PROGRAM).symlink_to("/bin/sh")


def to_a_pipe(tree: Path) -> None:
    (tree / PROGRAM).unlink()
    os.mkfifo(tree / PROGRAM)


def another_target(tree: Path) -> None:
    (tree / "isolated/bin/python").unlink()
    (tree / "isolated/bin/python").symlink_to("python2")


@pytest.mark.invariant("I8")
@pytest.mark.parametrize(
    ("harm", "path", "how"),
    [
        (change, PROGRAM, "changed"),
        (in_place_with_its_time, PROGRAM, "changed"),
        (to_a_link, PROGRAM, "changed"),
        (to_a_pipe, PROGRAM, "changed"),
        (another_target, "isolated/bin/python", "link"),
        (lambda tree: (tree / PROGRAM).unlink(), PROGRAM, "missing"),
        (lambda tree: (tree / "isolated/bin/new").write_text(""), "isolated/bin/new", "added"),
        (lambda tree: (tree / "zzz").mkdir(), "zzz", "added"),
        (lambda tree: (tree / "isolated/etc/version").chmod(0o755), "isolated/etc/version", "mode"),
        (lambda tree: (tree / "isolated/etc/version").chmod(0o600), "isolated/etc/version", "mode"),
        (lambda tree: (tree / "isolated").chmod(0o700), "isolated", "mode"),
    ],
)
def test_any_change_is_found_and_named(host: Host, tree: Path, harm: object, path: str, how: verify.How):
    harm(tree)

    report = look(host)

    assert report.differing == (Difference(path, how),)
    assert not report.whole
    assert record(host).drift == f"1 entry differs: {path} ({how})"


def test_the_names_of_all_that_differ_are_cut_short_and_counted(host: Host, tree: Path):
    for number in range(50):
        (tree / f"new{number:02}").write_text("")

    report = look(host)

    assert (len(report.differing), report.count) == (verify.MOST_SHOWN, 50)
    assert report.drift == "50 entries differ: new00 (added), new01 (added), new02 (added) and 47 more"


def test_a_tree_that_is_gone_misses_everything(host: Host, tree: Path):
    entries = len(list(tree.rglob("*")))
    tree.rename(tree.with_name("elsewhere"))

    report = look(host)

    assert (report.count, {one.how for one in report.differing}) == (entries, {"missing"})


@pytest.mark.invariant("I10")
def test_a_shared_file_that_was_changed_is_found_in_every_tree_and_healing_one_heals_no_other_and_spreads_nothing(
    host: Host, registry: RegistryOnDisk, tree: Path
):
    other = install.install(registry.package("a", "1.1.0"), host).path
    assert (tree / PROGRAM).stat().st_ino == (other / PROGRAM).stat().st_ino
    whole = snapshot(tree)
    in_place_with_its_time(tree)
    assert [look(host, version).drift for version in ("1.0.0", "1.1.0")] == [
        f"1 entry differs: {PROGRAM} (changed)"
    ] * 2

    install.install(registry.package("a", "1.0.0"), host, force=True)

    assert (look(host).whole, look(host, "1.1.0").whole) == (True, False)
    assert snapshot(tree) == whole
    install.install(registry.package("a", "1.1.0"), host, force=True)
    assert look(host, "1.1.0").whole
    assert (tree / PROGRAM).stat().st_ino == (other / PROGRAM).stat().st_ino


@pytest.mark.invariant("I9")
def test_who_uses_a_tree_that_is_healed_keeps_it_and_new_ones_get_the_whole_one(
    host: Host, registry: RegistryOnDisk, tree: Path
):
    change(tree)
    held = os.open(tree, os.O_PATH | os.O_DIRECTORY)
    try:
        install.install(registry.package("a", "1.0.0"), host, force=True, in_use=True)

        (aside,) = retired.find(host.root)
        assert (aside.key, aside.at.tzinfo is not None) == ("a-1.0.0", True)
        assert Path(f"/proc/self/fd/{held}/{PROGRAM}").read_bytes() == b"\x7fELF harmed"
        assert Path(f"/proc/self/fd/{held}").samefile(aside.path)
    finally:
        os.close(held)
    assert look(host).whole
    retired.remove(aside)
    retired.remove(aside)
    assert retired.find(host.root) == ()


def test_versions_installed_at_once_while_the_store_is_collected_are_whole_and_share_their_files(
    host: Host, registry: RegistryOnDisk
):
    versions = [f"2.{number}.0" for number in range(8)]
    shared = [a_file(f"lib/f{number}", b"shared %d" % number * 300) for number in range(60)]
    for version in versions:
        registry.add("a", version, a_package("a", "same", *shared, a_file("own", version.encode())))

    with ThreadPoolExecutor(5) as pool:
        installing = [pool.submit(install.install, registry.package("a", version), host) for version in versions]
        collecting = [pool.submit(store.collect, host.root) for _ in range(30)]
        trees = [one.result().path for one in installing]
        for one in collecting:
            one.result()

    assert all(look(host, version).whole for version in versions)
    inodes = {(tree / item[0].name).stat().st_ino for tree in trees for item in shared}
    assert len(inodes) == len(shared)


def test_several_trees_of_one_version_may_be_retired(host: Host, registry: RegistryOnDisk, tree: Path):
    for _ in range(3):
        install.install(registry.package("a", "1.0.0"), host, force=True, in_use=True)

    assert [aside.key for aside in retired.find(host.root)] == ["a-1.0.0"] * 3
    assert look(host).whole


def forget_digest(host: Host) -> None:
    path = origin.record_path(host.root, "a", "1.0.0")
    document = json.loads(path.read_bytes())
    fields = (
        "name",
        "version",
        "registry",
        "url",
        "sha256",
        "archive_bytes",
        "entries",
        "expanded_bytes",
        "installed_at",
    )
    path.write_text(json.dumps({name: document[name] for name in fields}))
    origin.lists(host.root, "a", "1.0.0")[1].unlink()


def test_a_tree_of_an_earlier_version_is_compared_with_what_it_held_when_it_was_first_looked_at(host: Host, tree: Path):
    forget_digest(host)
    assert (record(host).digest, record(host).kind) == ("", "registry")

    first = look(host)

    assert (first.is_first, first.whole, record(host).digest) == (True, True, first.digest)
    change(tree)
    assert look(host).differing == (Difference(PROGRAM, "changed"),)


def test_without_its_list_the_digest_still_tells_and_the_list_comes_back(host: Host, tree: Path):
    listing = origin.lists(host.root, "a", "1.0.0")[1]
    before = listing.read_bytes()
    listing.write_bytes(b"d lies\n")

    assert look(host).whole
    assert listing.read_bytes() == before
    listing.unlink()
    change(tree)
    assert look(host).differing == (Difference(".", "changed"),)
    assert not listing.exists()


def test_a_record_that_a_later_version_wrote_is_read(host: Host, tree: Path):
    path = origin.record_path(host.root, "a", "1.0.0")
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "unheardOf": 1}))

    assert look(host).whole


def test_what_others_installed_is_not_judged(host: Host):
    a_tree(host.root / "a-1.0.0", "a")

    with pytest.raises(TransientError, match="it was not installed by runwright"):
        look(host)


class Interrupting(Limiter):
    """A limiter that lets something happen when the first byte is asked for."""

    def __init__(self, clock: HandClock, act: object) -> None:
        super().__init__(1e12, clock)
        self._act: object = act

    def spend(self, count: int) -> None:
        act, self._act = self._act, None
        if act is not None:
            act()


def test_a_tree_that_is_replaced_while_it_is_looked_at_is_not_judged(host: Host, registry: RegistryOnDisk, tree: Path):
    def replace() -> None:
        install.install(registry.package("a", "1.0.0"), host, force=True)

    with pytest.raises(TransientError, match="it was changed meanwhile") as caught:
        look(host, limiter=Interrupting(host.clock, replace))
    assert caught.value.reason == "InstallInProgress"


def test_nobody_waits_for_a_look(host: Host, registry: RegistryOnDisk, tree: Path):
    seen: list[bool] = []

    def try_lock() -> None:
        with locks.exclusive(host.root, "a-1.0.0", wait=False):
            seen.append(True)

    look(host, limiter=Interrupting(host.clock, try_lock))
    assert seen == [True]


def test_a_look_ends_at_once_when_it_is_stopped(host: Host, tree: Path):
    reading = threading.Event()
    slow = Limiter(1.0, host.clock)

    class Telling(Limiter):
        def spend(self, count: int) -> None:
            reading.set()
            slow.spend(count)

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look, host, "1.0.0", Telling(1.0, host.clock))
        assert reading.wait(10)
        slow.stop()
        with pytest.raises(Stopped):
            looking.result(10)
    assert record(host).verified_at == ""
