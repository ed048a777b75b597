"""What is kept of downloads: bounded in number, size and age, one holder at a time, and never in the way."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta

import pytest

from controller.engine.clock import SystemClock
from controller.registry.parts import Kept, Part, Parts
from support.hand_clock import HandClock

URL, SHA = "http://r.example/a.tar.gz", "ab" * 32
DATA = os.urandom(5000)


@pytest.fixture
def parts(tmp_path) -> Parts:
    return Parts(tmp_path / "parts", SystemClock(), least_bytes=1000, most_bytes=50_000)


def keep(parts: Parts, url: str = URL, sha256: str = SHA, data: bytes = DATA, length: int = 8000) -> None:
    with parts.open(url, sha256) as part:
        part.begin(length, '"1"')
        part.add(data[:3000])
        part.add(data[3000:])


def kept(parts: Parts, url: str = URL, sha256: str = SHA) -> bytes:
    with parts.open(url, sha256) as part:
        return b"".join(iter(lambda: part.read(700), b""))


def files(parts: Parts) -> list[str]:
    return sorted(os.listdir(parts.directory))


def test_what_was_kept_is_there_for_the_next_one(parts):
    keep(parts)

    with parts.open(URL, SHA) as part:
        assert (part.size, part.length, part.etag, part.is_whole) == (5000, 8000, '"1"', False)
    assert kept(parts) == DATA


def test_what_comes_after_what_was_kept_is_added_to_it(parts):
    keep(parts)
    with parts.open(URL, SHA) as part:
        part.add(b"x" * 3000)

    with parts.open(URL, SHA) as part:
        assert part.is_whole
    assert kept(parts) == DATA + b"x" * 3000


@pytest.mark.parametrize(("url", "sha256"), [("http://r.example/b", SHA), (URL, "cd" * 32)])
def test_a_part_is_of_one_address_and_one_checksum(parts, url, sha256):
    keep(parts)

    assert kept(parts, url, sha256) == b""


def test_somebody_elses_words_under_its_name_are_no_part(parts):
    keep(parts)
    (name,) = files(parts)
    (parts.directory / name).write_bytes(b"not json\n" * 2000)

    assert kept(parts) == b""


def test_a_link_under_its_name_is_not_followed(parts, tmp_path):
    keep(parts)
    (name,) = files(parts)
    (parts.directory / name).unlink()
    (parts.directory / name).symlink_to(tmp_path / "elsewhere")

    with parts.open(URL, SHA) as part:
        assert part is None
    assert not (tmp_path / "elsewhere").exists()


def test_nobody_else_has_a_part_that_is_held(parts):
    keep(parts)

    with parts.open(URL, SHA) as mine, parts.open(URL, SHA) as other:
        assert (mine.size, other) == (len(DATA), None)


def test_of_two_who_begin_at_once_one_keeps_what_comes(parts):
    with parts.open(URL, SHA) as first, parts.open(URL, SHA) as second:
        for part, data in ((first, DATA), (second, b"x" * 5000)):
            part.begin(8000, "")
            part.add(data)
        assert (first.size, second.size) == (len(DATA), 0)

    assert kept(parts) == DATA


@pytest.mark.parametrize("length", [None, 999, 50_001])
def test_what_is_small_huge_or_of_unknown_length_is_not_kept(parts, length):
    with parts.open(URL, SHA) as part:
        part.begin(length, "")
        part.add(DATA)

    assert not parts.directory.exists()


def test_nothing_is_kept_where_the_space_is_to_be_left_free(parts, tmp_path):
    full = Parts(parts.directory, parts.clock, free_bytes=1 << 60, least_bytes=1000)
    keep(full)

    assert not any(parts.directory.iterdir())


def test_what_was_discarded_may_begin_anew(parts):
    keep(parts)
    with parts.open(URL, SHA) as part:
        part.discard()
        assert (part.size, part.read(10)) == (0, b"")
        part.begin(8000, "")
        part.add(b"new" * 10)

    assert kept(parts) == b"new" * 10


def test_all_parts_of_a_checksum_go_when_it_is_there(parts):
    keep(parts)
    keep(parts, "http://mirror.example/a")
    keep(parts, "http://r.example/other", "cd" * 32)

    parts.remove(SHA)

    assert len(files(parts)) == 1
    assert kept(parts, "http://r.example/other", "cd" * 32) == DATA


@pytest.mark.parametrize(("hours", "is_there"), [(0, True), (23, True), (25, False), (-0.01, True), (-1, False)])
def test_a_part_is_kept_for_a_day(parts, hours, is_there):
    keep(parts)
    (name,) = files(parts)
    clock = HandClock()
    modified = (clock.now() - timedelta(hours=hours)).timestamp()
    os.utime(parts.directory / name, (modified, modified))

    Parts(parts.directory, clock).sweep()

    assert files(parts) == ([name] if is_there else [])


def test_the_oldest_part_makes_room_for_a_new_one(parts):
    for number in range(2):
        keep(parts, f"http://r.example/{number}", data=bytes(12_000), length=15_000)
    (oldest,) = parts.directory.glob(f"*-{hashlib.sha256(b'http://r.example/0').hexdigest()[:16]}.part")
    os.utime(oldest, ns=(0, oldest.stat().st_mtime_ns - 60 * 10**9))

    keep(parts, "http://r.example/2", data=bytes(12_000), length=15_000)

    assert [len(kept(parts, f"http://r.example/{number}")) for number in range(3)] == [0, 12_000, 12_000]


def test_a_part_that_is_held_does_not_make_room(parts):
    with parts.open(URL, SHA) as part:
        part.begin(8000, "")
        part.add(DATA)
        parts.sweep(50_000)
        assert len(files(parts)) == 1


def begun(parts: Parts, held: ExitStack, number: int, length: int) -> Part:
    """Begin a part of that length, of which nothing has come yet, and go on holding it."""
    part = held.enter_context(parts.open(f"http://r.example/{number}", f"{number:064}"))
    part.begin(length, "")
    part.add(b"x")
    return part


def test_what_is_under_way_takes_its_whole_length_of_what_may_be_kept(parts):
    with ExitStack() as held:
        are_kept = [begun(parts, held, number, 20_000).size > 0 for number in range(3)]

    assert are_kept == [True, True, False]


def test_what_broke_makes_room_by_its_whole_length(parts):
    keep(parts, length=40_000)

    with ExitStack() as held:
        assert begun(parts, held, 1, 20_000).size == 1
        assert len(files(parts)) == 1


def test_a_part_that_begins_anew_needs_room_once(parts):
    with parts.open(URL, SHA) as part:
        for _ in range(2):
            part.begin(40_000, "")
            part.add(DATA)

    assert kept(parts) == DATA


def test_of_many_who_begin_at_once_no_more_are_kept_than_there_is_room_for(parts):
    together = threading.Barrier(8)

    def begin(number: int) -> bool:
        with ExitStack() as held:
            together.wait(30)
            is_kept = begun(parts, held, number, 20_000).size > 0
            together.wait(30)
            return is_kept

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(begin, range(8))) == 2


def test_space_that_others_are_yet_to_take_is_taken(parts):
    roomy = Parts(parts.directory, parts.clock, least_bytes=1000, most_bytes=1 << 50)
    parts.directory.mkdir()
    disk = os.statvfs(parts.directory)
    large = disk.f_bavail * disk.f_frsize * 2 // 9  # There is room for its four times, and not for five times.
    with ExitStack() as held:
        assert [begun(roomy, held, number, large).size for number in range(3)] == [1, 0, 0]


def test_what_goes_on_is_not_kept_where_the_space_is_to_be_left_free(parts):
    keep(parts)
    full = Parts(parts.directory, parts.clock, free_bytes=1 << 60, least_bytes=1000)

    with full.open(URL, SHA) as part:
        part.go_on()
        assert part.read(9000) == DATA
        part.add(b"x" * 100)

    assert kept(parts) == DATA


@pytest.mark.parametrize("head", [b"not json", b'{"length": 1e999}', b'{"length": null}', b"[" * 8192, b"[]"])
def test_a_part_that_does_not_say_how_long_it_becomes_is_as_long_as_it_is(parts, head):
    keep(parts)
    (name,) = files(parts)
    (parts.directory / name).write_bytes(head.ljust(9000))

    assert parts.sweep() == Kept(whole_bytes=9000, missing_bytes=0)


def test_a_directory_that_cannot_be_made_costs_only_the_part(tmp_path):
    (tmp_path / "file").write_text("")

    parts = Parts(tmp_path / "file/parts", SystemClock(), least_bytes=1000)
    keep(parts)

    assert kept(parts) == b""


def test_parts_are_for_nobody_else_to_read(parts):
    keep(parts)
    (name,) = files(parts)

    modes = [oct(path.stat().st_mode & 0o777) for path in (parts.directory, parts.directory / name)]
    assert modes == ["0o700", "0o600"]
