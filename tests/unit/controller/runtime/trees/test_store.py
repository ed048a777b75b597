"""Files that are kept once: shared, never given on when damaged, collected when nobody has them."""

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from controller.runtime.trees import store
from controller.runtime.trees.store import NORMAL_TIME, Content, Store


class World:
    """A root with a store, and files that are to be shared."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = Store(root, root / "spare")
        self.store_directory = root / ".runwright" / "store"
        self.count = 0

    def a_file(self, text: str = "content", *, executable: bool = False, time: int = NORMAL_TIME) -> Path:
        self.count += 1
        path = self.root / f"file{self.count}"
        path.write_text(text)
        path.chmod(0o755 if executable else 0o644)
        os.utime(path, (time, time))
        return path

    def content(self, path: Path) -> Content:
        status = path.stat()
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return Content(sha256, bool(status.st_mode & 0o111), status.st_size, int(status.st_mtime))

    def offer(self, path: Path, to: Store | None = None) -> None:
        (to or self.store).offer(os.fsencode(path), self.content(path))

    def reuse(self, path: Path, of: Store | None = None) -> bool:
        return (of or self.store).reuse(os.fsencode(path), path.stat(), self.content(path))

    def stored(self) -> list[Path]:
        return sorted(path for path in self.store_directory.rglob("*") if path.is_file())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_equal_files_become_one(world: World):
    first, second = world.a_file(), world.a_file()
    assert not world.reuse(first)
    world.offer(first)

    assert world.reuse(second)
    assert first.stat().st_ino == second.stat().st_ino
    assert first.stat().st_nlink == 3
    assert world.reuse(second)


def test_of_two_that_are_offered_at_once_both_are_the_first(world: World):
    first, second = world.a_file(), world.a_file()
    world.offer(first)
    world.offer(second)

    assert first.stat().st_ino == second.stat().st_ino
    assert not (world.root / "spare").exists()


def test_files_that_a_job_could_tell_apart_stay_apart(world: World):
    files = [
        world.a_file(),
        world.a_file(executable=True),
        world.a_file("contenu"),
        world.a_file(time=1_700_000_000),
        world.a_file(time=1_700_000_001),
    ]
    for file in files:
        world.offer(file)

    assert len({file.stat().st_ino for file in files}) == 5
    assert len(world.stored()) == 5


@pytest.mark.parametrize("harm", ["text", "longer", "mode", "gone"])
def test_a_file_that_was_changed_is_given_to_nobody_and_the_next_whole_one_takes_its_name(world: World, harm: str):
    first, second, third = (world.a_file() for _ in range(3))
    world.offer(first)
    if harm in ("text", "longer"):
        first.write_text("harmed!" if harm == "text" else "content and more")
    elif harm == "mode":
        first.chmod(0o600)
    else:
        first.unlink()
        world.stored()[0].unlink()

    assert not world.reuse(second)
    world.offer(second)
    assert world.reuse(third)
    assert third.read_text() == "content"


@pytest.mark.invariant("I10")
def test_who_distrusts_the_store_reads_its_files_even_where_time_and_size_are_right(world: World):
    first, second = world.a_file(), world.a_file()
    world.offer(first)
    first.write_text("harmed!")
    os.utime(first, (NORMAL_TIME, NORMAL_TIME))

    assert not world.reuse(second, Store(world.root, world.root / "spare", distrust=True))
    world.offer(second)
    assert second.read_text() == "content"
    assert world.stored()[0].stat().st_ino == second.stat().st_ino


@pytest.mark.parametrize("number", [errno.EMLINK, errno.EXDEV, errno.EPERM])
def test_a_file_that_cannot_have_another_name_stays_as_it_is(
    world: World, number: int, monkeypatch: pytest.MonkeyPatch
):
    first, second = world.a_file(), world.a_file()
    world.offer(first)

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", refuse)
        assert not world.reuse(second)
        world.offer(second)

    assert second.read_text() == "content"
    assert second.stat().st_nlink == 1


def test_where_a_file_has_as_many_names_as_it_may_another_copy_is_shared_from_then_on(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    first, second, third = (world.a_file() for _ in range(3))
    world.offer(first)
    full = first.stat().st_ino
    link = os.link

    def link_unless_full(source: bytes, target: bytes) -> None:
        if os.stat(source).st_ino == full:
            raise OSError(errno.EMLINK, "Too many links")
        link(source, target)

    monkeypatch.setattr(os, "link", link_unless_full)
    assert not world.reuse(second)
    world.offer(second)
    assert world.reuse(third)

    assert third.stat().st_ino == second.stat().st_ino != full


def test_a_full_disk_is_told_and_harms_no_file(world: World, monkeypatch: pytest.MonkeyPatch):
    first, second = world.a_file(), world.a_file()
    world.offer(first)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OSError, match="No space"):
        world.reuse(second)
    assert second.read_text() == "content"


def test_what_no_tree_has_any_more_is_collected_and_nothing_else(world: World):
    kept, dropped = world.a_file("kept"), world.a_file("dropped" * 1000)
    world.offer(kept)
    world.offer(dropped)
    dropped.unlink()

    collected = store.collect(world.root)

    assert collected == 1
    assert [path.read_text() for path in world.stored()] == ["kept"]
    assert store.collect(world.root) == 0
    assert store.collect(world.root / "nowhere") == 0


def test_collecting_while_others_share_loses_no_file(world: World):
    files = [world.a_file(f"text {number % 7}") for number in range(200)]
    wanted = [file.read_text() for file in files]

    def share(file: Path) -> None:
        own = Store(world.root, file.with_suffix(".spare"))
        if not world.reuse(file, own):
            world.offer(file, own)
        file.unlink() if int(file.name[4:]) % 3 == 0 else None

    with ThreadPoolExecutor(6) as pool:
        collecting = [pool.submit(store.collect, world.root) for _ in range(20)]
        list(pool.map(share, files))
        for one in collecting:
            one.result()

    for number, file in enumerate(files, start=1):
        assert number % 3 == 0 or file.read_text() == wanted[number - 1]
