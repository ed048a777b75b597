"""Archives that try to write, read or link outside of their tree, or to fill the host.

Answers the zip-slip family: CVE-2007-4559 and CVE-2025-4517 of Python's tarfile, CVE-2018-1002207.
"""

import gzip
import io
import os
import tarfile
import time
import tracemalloc
from pathlib import Path

import pytest

from controller.engine.errors import TerminalError, TransientError
from controller.runtime.archives import archive
from controller.runtime.archives.archive import Limits
from support.registry_fixtures import a_directory, a_file, a_hardlink, a_special, a_symlink, an_archive, snapshot


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file outside of the tree that no archive may touch."""
    path = tmp_path / "victim"
    path.write_text("untouched")
    return path


def refusal(data: bytes, tmp_path: Path, limits: Limits | None = None) -> str:
    """Unpack `data` and return why it was refused; nothing beside the tree may have changed."""
    tree = tmp_path / "tree"
    tree.mkdir()
    before = {name: what for name, what in snapshot(tmp_path).items() if not name.startswith("tree/")}
    directory = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(TerminalError) as caught:
            archive.unpack(io.BytesIO(data), directory, limits)
    finally:
        os.close(directory)
    assert {name: what for name, what in snapshot(tmp_path).items() if not name.startswith("tree/")} == before
    assert caught.value.reason == "InvalidArchive"
    return str(caught.value)


@pytest.mark.parametrize("name", ["../victim", "a/../../victim", "a/..", "..", "./../victim", "a/b/../../../victim"])
def test_a_name_that_climbs_out_is_refused(tmp_path: Path, victim: Path, name: str):
    assert "leads out of the tree" in refusal(an_archive(a_file("ok"), a_file(name, b"evil")), tmp_path)
    assert victim.read_text() == "untouched"


def test_an_absolute_name_is_refused(tmp_path: Path, victim: Path):
    assert "is absolute" in refusal(an_archive(a_file(str(victim), b"evil")), tmp_path)
    assert victim.read_text() == "untouched"


@pytest.mark.parametrize("target", ["..", "/", ".", "../victim-dir"])
def test_nothing_is_written_through_a_symbolic_link(tmp_path: Path, target: str):
    (tmp_path / "victim-dir").mkdir()
    data = an_archive(a_symlink("link", target), a_file("link/victim", b"evil"))

    assert "goes through link, which is no directory" in refusal(data, tmp_path)


def test_a_directory_that_turns_into_a_link_is_refused(tmp_path: Path):
    data = an_archive(a_directory("d"), a_symlink("d", ".."), a_file("d/x"))

    assert "d is in it twice" in refusal(data, tmp_path)


def test_a_link_is_not_written_to_by_a_second_entry_of_its_name(tmp_path: Path, victim: Path):
    data = an_archive(a_symlink("x", "../victim"), a_file("x", b"evil"))

    assert "x is in it twice" in refusal(data, tmp_path)
    assert victim.read_text() == "untouched"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("evil", "/etc/passwd"),
        ("bin/evil", "../../etc/passwd"),
        ("isolated/etc/evil", "../../../etc/passwd"),
        ("evil", ".."),
        ("other/isolated/evil", "/etc/passwd"),
    ],
)
def test_a_symbolic_link_out_of_the_tree_is_refused(tmp_path: Path, path: str, target: str):
    assert f"the link {path} -> {target}" in refusal(
        an_archive(a_file("runtime.yml"), a_symlink(path, target)), tmp_path
    )


def test_links_that_lead_out_only_together_are_refused(tmp_path: Path):
    data = an_archive(a_symlink("deep/er/up", "../.."), a_symlink("deep/er/evil", "up/../x"), a_file("runtime.yml"))

    assert "deep/er/evil -> up/../x leads out of the tree" in refusal(data, tmp_path)


def test_links_that_go_round_in_circles_are_refused(tmp_path: Path):
    assert "never ends" in refusal(an_archive(a_symlink("a", "b"), a_symlink("b", "a"), a_file("c")), tmp_path)


def test_links_that_grow_without_end_are_refused(tmp_path: Path):
    assert "never ends" in refusal(an_archive(a_symlink("a", "a/a/a/a/a/a"), a_file("c")), tmp_path)


def test_a_link_out_of_its_wrapper_directory_is_refused(tmp_path: Path):
    data = an_archive(a_directory("w"), a_file("w/runtime.yml"), a_symlink("w/evil", "../x"))

    assert "evil -> ../x leads out of the tree" in refusal(data, tmp_path)


def test_an_absolute_link_below_isolated_is_the_jobs_own_root(tmp_path: Path):
    data = an_archive(
        a_file("runtime.yml"),
        a_symlink("isolated/etc/mtab", "/proc/self/mounts"),
        a_symlink("isolated/usr/bin/python", "/usr/bin/python3"),
        a_symlink("isolated/bin", "usr/bin"),
    )
    (tmp_path / "tree").mkdir()
    directory = os.open(tmp_path / "tree", os.O_RDONLY)
    assert archive.unpack(io.BytesIO(data), directory).entries == 4
    os.close(directory)


@pytest.mark.parametrize("target", ["/etc/passwd", "../victim", "nowhere", "later", "dir", "link", "self", ""])
def test_a_hard_link_to_anything_but_a_file_before_it_is_refused(tmp_path: Path, victim: Path, target: str):
    data = an_archive(a_directory("dir"), a_symlink("link", "dir"), a_hardlink("self", target), a_file("later"))

    assert "which is no file before it" in refusal(data, tmp_path)
    assert victim.stat().st_nlink == 1


def test_a_hard_link_does_not_go_through_a_symbolic_link(tmp_path: Path):
    data = an_archive(a_symlink("up", ".."), a_hardlink("evil", "up/victim"))

    assert "which is no file before it" in refusal(data, tmp_path)


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a pipe"),
        (b"Z", "unknown type"),
    ],
)
def test_devices_pipes_and_the_unknown_are_refused(tmp_path: Path, kind: bytes, word: str):
    assert word in refusal(an_archive(a_file("ok"), a_special("evil", kind)), tmp_path)


def test_a_sparse_file_is_refused(tmp_path: Path):
    info, content = a_file("sparse", b"x" * 512)
    info.pax_headers = {"GNU.sparse.map": "0,512", "GNU.sparse.size": str(1 << 40), "GNU.sparse.numblocks": "1"}

    assert "a sparse file" in refusal(an_archive((info, content)), tmp_path)


def test_nothing_is_setuid_setgid_or_sticky(tmp_path: Path):
    (tmp_path / "tree").mkdir()
    directory = os.open(tmp_path / "tree", os.O_RDONLY)
    archive.unpack(io.BytesIO(an_archive(a_directory("d", 0o7777), a_file("d/su", mode=0o6755))), directory)
    os.close(directory)

    assert [path for path in (tmp_path / "tree").rglob("*") if path.stat().st_mode & 0o7000] == []


def test_more_entries_than_allowed_are_refused(tmp_path: Path):
    data = an_archive(*(a_file(f"f{n}", b"") for n in range(11)))

    assert "more than 10 entries" in refusal(data, tmp_path, Limits(entries=10))


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path):
    data = an_archive(a_file("bomb", b"\0" * (8 << 20)))
    assert len(data) < 20_000

    assert "expands to more than" in refusal(data, tmp_path, Limits(expanded_bytes=1 << 20))
    assert sum(path.stat().st_size for path in (tmp_path / "tree").iterdir()) <= 2 << 20


def test_zeros_after_the_end_count_too(tmp_path: Path):
    data = gzip.compress(gzip.decompress(an_archive(a_file("a"))) + b"\0" * (8 << 20))

    assert "expands to more than" in refusal(data, tmp_path, Limits(entries=10, expanded_bytes=1 << 20))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
def test_a_header_of_gigabytes_takes_no_memory(tmp_path: Path, kind: bytes):
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, 1 << 32
    plain = info.tobuf(tarfile.USTAR_FORMAT) + b"x" * (16 << 20)
    data = gzip.compress(plain)

    tracemalloc.start()
    try:
        assert "the header of an entry" in refusal(data, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["a" * 256, "/".join(["abcdefghi"] * 200), "d/" + "é" * 200])
def test_names_beyond_the_limits_are_refused(tmp_path: Path, name: str):
    assert "is too long" in refusal(an_archive(a_file(name)), tmp_path)


def test_a_name_with_a_nul_is_refused(tmp_path: Path):
    info, content = a_file("x")
    info.pax_headers = {"path": "a\0b"}

    assert "NUL" in refusal(an_archive((info, content)), tmp_path)


def test_a_name_is_shown_without_what_a_terminal_would_obey(tmp_path: Path):
    message = refusal(an_archive(a_file("../\x1b[31mred")), tmp_path)

    assert "\x1b" not in message


def test_an_entry_of_negative_size_ends_at_once(tmp_path: Path):
    """Python's tarfile went round in circles here: CVE-2025-8194."""
    info = tarfile.TarInfo("x")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 12
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    (tmp_path / "tree").mkdir()
    directory = os.open(tmp_path / "tree", os.O_RDONLY)
    started = time.monotonic()
    with pytest.raises((TransientError, TerminalError)):
        archive.unpack(io.BytesIO(gzip.compress(bytes(header) + bytes(header) + b"\0" * 2048)), directory)
    os.close(directory)

    assert time.monotonic() - started < 5
