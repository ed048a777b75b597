"""Unpacking what is as it should be, and telling what is not whole."""

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from controller.engine.errors import TerminalError, TransientError
from controller.runtime.archives import archive
from controller.runtime.archives.archive import Limits, Metered, Unpacked
from support.registry_fixtures import (
    a_directory,
    a_file,
    a_hardlink,
    a_package,
    a_symlink,
    an_archive,
    snapshot,
)


def unpack(data: bytes, into: Path, limits: Limits | None = None) -> Unpacked:
    into.mkdir(exist_ok=True)
    directory = os.open(into, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return archive.unpack(io.BytesIO(data), directory, limits)
    finally:
        os.close(directory)


def mode_of(path: Path) -> int:
    return path.lstat().st_mode & 0o7777


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_files_directories_and_links_are_unpacked(tmp_path: Path, format: int):
    long = "/".join(["deep"] * 30)
    entries = (
        a_directory("./"),
        a_file("./bin/tool", b"#!", 0o755),
        a_symlink("bin/alias", "tool"),
        a_hardlink("bin/same", "./bin/tool"),
        a_file(f"{long}/x" if format != tarfile.USTAR_FORMAT else "deep/x", b"x" * 3000),
        a_file("empty", b""),
    )
    unpack(an_archive(*entries, format=format), tmp_path / "tree")

    tree = tmp_path / "tree"
    assert (tree / "bin" / "tool").read_bytes() == b"#!"
    assert os.readlink(tree / "bin" / "alias") == "tool"
    assert (tree / "bin" / "same").stat().st_ino == (tree / "bin" / "tool").stat().st_ino
    assert (tree / "empty").read_bytes() == b""
    assert sum(path.name == "x" and path.read_bytes() == b"x" * 3000 for path in tree.rglob("*")) == 1


@pytest.mark.parametrize(
    ("packed", "unpacked"),
    [(0o777, 0o755), (0o700, 0o755), (0o4755, 0o755), (0o600, 0o644), (0o2664, 0o644), (0, 0o644)],
)
def test_modes_let_everyone_read_and_nobody_but_us_write(tmp_path: Path, packed: int, unpacked: int):
    before = os.umask(0o077)
    try:
        unpack(an_archive(a_directory("d", 0o7777), a_file("d/f", mode=packed)), tmp_path / "tree")
    finally:
        os.umask(before)

    assert mode_of(tmp_path / "tree" / "d" / "f") == unpacked
    assert mode_of(tmp_path / "tree" / "d") == 0o755


def test_times_of_files_are_kept_and_owners_are_not(tmp_path: Path):
    unpack(an_archive(a_file("f", uid=1234, gid=1234, uname="x", gname="x")), tmp_path / "tree")

    stat = (tmp_path / "tree" / "f").stat()
    assert (stat.st_mtime, stat.st_uid, stat.st_gid) == (1_700_000_000, os.geteuid(), os.getegid())


@pytest.mark.parametrize("mtime", [-5.0, 1e300, float("inf"), float("nan")])
def test_a_time_that_is_none_does_no_harm(tmp_path: Path, mtime: float):
    info, content = a_file("f")
    info.pax_headers = {"mtime": str(mtime)}
    unpack(an_archive((info, content)), tmp_path / "tree")

    assert (tmp_path / "tree" / "f").read_bytes() == content


def test_the_one_directory_around_everything_is_told(tmp_path: Path):
    assert unpack(a_package("a", wrapper="a-1.0.0"), tmp_path / "wrapped").wrapper == "a-1.0.0"
    assert unpack(a_package("a"), tmp_path / "flat").wrapper is None
    assert unpack(an_archive(a_file("only")), tmp_path / "file").wrapper is None
    assert unpack(an_archive(a_file("d/only")), tmp_path / "unlisted").wrapper == "d"


def test_a_gzip_of_several_members_is_read_to_its_end(tmp_path: Path):
    plain = gzip.decompress(an_archive(a_file("a", b"a" * 1000), a_file("b", b"b")))
    data = gzip.compress(plain[:700]) + gzip.compress(plain[700:])

    assert unpack(data, tmp_path / "tree").entries == 2


def test_what_was_read_is_counted_hashed_and_told(tmp_path: Path):
    data = an_archive(a_file("noise", os.urandom(1 << 20)))
    told: list[int] = []
    metered = Metered(io.BytesIO(data), told.append)
    archive.drain(metered)

    assert metered.count == len(data) == told[-1]
    assert told == sorted(told)
    assert 2 < len(told) < 20


def test_nothing_is_lost_or_added(tmp_path: Path):
    unpacked = unpack(a_package("a", "1.2.3"), tmp_path / "tree")

    assert sorted(snapshot(tmp_path / "tree")) == [
        "isolated",
        "isolated/bin",
        "isolated/bin/python",
        "isolated/bin/python3",
        "isolated/etc",
        "isolated/etc/version",
        "runtime.yml",
    ]
    assert unpacked.entries == 6


@pytest.mark.parametrize("keep", [0, 1, 10, 100, -8, -1])
def test_a_torn_archive_is_damaged(tmp_path: Path, keep: int):
    data = a_package("a")

    with pytest.raises(TransientError, match=r"it is not whole") as caught:
        unpack(data[:keep], tmp_path / "tree")
    assert caught.value.reason == "DamagedArchive"


@pytest.mark.parametrize("data", [b"", b"not gzip", b"\x1f\x8b" + b"\0" * 30, gzip.compress(b"not a tar" * 100)])
def test_what_is_no_archive_is_damaged(tmp_path: Path, data: bytes):
    with pytest.raises(TransientError, match=r"it is not whole"):
        unpack(data, tmp_path / "tree")


def test_a_tar_that_is_broken_in_the_middle_is_damaged_although_gzip_is_not(tmp_path: Path):
    plain = bytearray(gzip.decompress(an_archive(a_file("a"), a_file("b"), a_file("c"))))
    plain[1024 + 100 : 1024 + 108] = b"zzzzzzzz"  # The second header's mode: its sum no longer matches.

    with pytest.raises(TransientError, match="lies between its entries"):
        unpack(gzip.compress(bytes(plain)), tmp_path / "tree")


def test_an_archive_of_nothing_is_refused(tmp_path: Path):
    with pytest.raises(TerminalError, match="it is empty"):
        unpack(an_archive(), tmp_path / "tree")
