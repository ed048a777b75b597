"""Archives made to fill disks and memory, or to mean something else than they seem, in every format.

Answers zip bombs (CVE-2019-9674 and overlapping entries, as in 42.zip's successors), floods of entries, and names
that other file systems take for one.
"""

import gzip
import io
import os
import resource
import tarfile
import tracemalloc
import unicodedata
from pathlib import Path

import pytest

from controller.engine.errors import TerminalError, TransientError
from controller.runtime.archives import archive, zip_file
from controller.runtime.archives.archive import Limits
from support.registry_fixtures import a_directory, a_file, a_hardlink, a_symlink, an_archive, snapshot
from support.zip_builders import PACKINGS, a_zip, a_zip_file, a_zip_link, a_zip_of_many, a_zip_of_overlaps

MiB = 1 << 20
SMALL = Limits(free_bytes=MiB)


def refusal(data: bytes, tmp_path: Path, limits: Limits | None = None) -> str:
    """Unpack `data` and return why it was refused; nothing beside the tree may have changed, little memory be used."""
    tree = tmp_path / "tree"
    tree.mkdir()
    before = {name: what for name, what in snapshot(tmp_path).items() if not name.startswith("tree/")}
    directory = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    tracemalloc.start()
    try:
        with pytest.raises((TerminalError, TransientError)) as caught:
            archive.unpack(io.BytesIO(data), directory, limits)
        assert tracemalloc.get_traced_memory()[1] < 64 * MiB
    finally:
        tracemalloc.stop()
        os.close(directory)
    assert {name: what for name, what in snapshot(tmp_path).items() if not name.startswith("tree/")} == before
    assert caught.value.reason in ("InvalidArchive", "DamagedArchive")
    return caught.value.message


def size_of(tree: Path) -> int:
    return sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())


@pytest.mark.parametrize("packing", [name for name in PACKINGS if name != "tar"])
def test_a_tar_that_expands_beyond_all_measure_is_refused_early(tmp_path: Path, packing: str):
    data = PACKINGS[packing](gzip.decompress(an_archive(a_file("bomb", b"\0" * (32 * MiB)))))

    assert "expands to more than 200 times its own size" in refusal(data, tmp_path, SMALL)
    assert size_of(tmp_path / "tree") < 16 * MiB


def test_a_zip_that_expands_beyond_all_measure_is_refused_early(tmp_path: Path):
    assert "expands to more than 200 times" in refusal(a_zip(a_zip_file("bomb", b"\0" * (32 * MiB))), tmp_path, SMALL)
    assert size_of(tmp_path / "tree") < 16 * MiB


@pytest.mark.parametrize(
    "make",
    [lambda *files: an_archive(*(a_file(*f) for f in files)), lambda *files: a_zip(*(a_zip_file(*f) for f in files))],
)
def test_what_expands_to_more_than_the_limit_in_all_is_refused(tmp_path: Path, make):
    noise = os.urandom(MiB // 2)
    data = make(*((f"f{number}", noise[number:]) for number in range(8)))

    assert "expands to more than 1048576 bytes" in refusal(data, tmp_path, Limits(expanded_bytes=MiB))
    assert size_of(tmp_path / "tree") <= MiB


def test_a_small_archive_may_expand_much(tmp_path: Path):
    (tmp_path / "tree").mkdir()
    directory = os.open(tmp_path / "tree", os.O_RDONLY)
    try:
        archive.unpack(io.BytesIO(an_archive(a_file("zeros", b"\0" * (8 * MiB)))), directory)
    finally:
        os.close(directory)
    assert size_of(tmp_path / "tree") == 8 * MiB


def test_a_zip_whose_entries_share_their_bytes_is_refused_before_any_is_unpacked(tmp_path: Path):
    message = refusal(a_zip_of_overlaps(1000, b"\0" * 100_000), tmp_path)

    assert "lie over each other" in message
    assert size_of(tmp_path / "tree") == 0


@pytest.mark.parametrize("said", [None, 1, 0])
def test_a_zip_of_a_million_entries_is_refused_whatever_it_says_their_number_is(tmp_path: Path, said: int | None):
    message = refusal(a_zip_of_many(500_000, said), tmp_path)

    assert f"more than {zip_file.MOST_ENTRIES} entries" in message
    assert snapshot(tmp_path / "tree") == {}


def test_a_zip_whose_list_is_gigabytes_is_refused(tmp_path: Path):
    data = bytearray(a_zip_of_many(1))
    data[:0] = bytes(40 * MiB)  # What it is said to be in: the list ends where the end says, and begins long before.
    data[-10:-6] = (35 * MiB).to_bytes(4, "little")

    assert "its list of entries has more than" in refusal(b"PK\x03\x04" + bytes(data), tmp_path)


def test_more_entries_than_allowed_are_refused_in_a_tar(tmp_path: Path):
    data = an_archive(*(a_file(f"f{n}", b"") for n in range(2001)))

    assert "more than 2000 entries" in refusal(data, tmp_path, Limits(entries=2000))


class _Flood:
    """A tar of a million entries of nothing, made as it is read."""

    def __init__(self) -> None:
        self._number = 0
        self._left = b""

    def read(self, size: int = -1, /) -> bytes:
        while len(self._left) < size and self._number < 1_000_000:
            block = bytearray(tarfile.TarInfo(f"{self._number:07}").tobuf(tarfile.USTAR_FORMAT))
            self._left += bytes(block)
            self._number += 1
        piece, self._left = self._left[:size], self._left[size:]
        return piece


def flooded(into: Path, limits: Limits) -> str:
    into.mkdir()
    directory = os.open(into, os.O_RDONLY)
    try:
        with pytest.raises(TerminalError) as caught:
            archive.unpack(_Flood(), directory, limits)
    finally:
        os.close(directory)
    return caught.value.message


def test_a_flood_of_entries_ends_at_the_limit_with_little_memory(tmp_path: Path):
    tracemalloc.start()
    try:
        assert "more than 5000 entries" in flooded(tmp_path / "tree", Limits(entries=5000))
        assert tracemalloc.get_traced_memory()[1] < 24 * MiB
    finally:
        tracemalloc.stop()
    assert len(os.listdir(tmp_path / "tree")) == 5000


@pytest.mark.slow
def test_a_tar_of_a_million_entries_is_refused(tmp_path: Path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert "more than 500000 entries" in flooded(tmp_path / "tree", Limits())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 << 10


def test_names_that_are_too_long_together_are_refused(tmp_path: Path):
    data = an_archive(*(a_file("N" * 200 + str(number)) for number in range(100)))

    assert "names in it have more than 10000 bytes together" in refusal(data, tmp_path, Limits(paths_bytes=10_000))


def test_links_that_take_too_much_to_remember_are_refused(tmp_path: Path):
    data = an_archive(*(a_symlink(f"link{number}", "target") for number in range(100)))

    assert "too many links" in refusal(data, tmp_path, Limits(links_bytes=10_000))


def test_directories_that_nobody_listed_are_entries_too(tmp_path: Path):
    data = an_archive(*(a_file("/".join([str(number)] * 20)) for number in range(10)))

    assert "more than 100 entries" in refusal(data, tmp_path, Limits(entries=100))


def test_headers_for_all_entries_take_no_memory(tmp_path: Path):
    def a_global(number: int) -> bytes:
        return tarfile.TarInfo.create_pax_global_header({f"key{number}": "x" * 100_000})

    plain = b"".join(a_global(n) + tarfile.TarInfo(f"f{n}").tobuf(tarfile.USTAR_FORMAT) for n in range(200))

    assert "headers for all entries" in refusal(gzip.compress(plain + bytes(1024)), tmp_path)


def test_headers_upon_headers_are_refused_and_end_nothing_else(tmp_path: Path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 0
    plain = header.tobuf(tarfile.USTAR_FORMAT) * 3000 + tarfile.TarInfo("f").tobuf(tarfile.USTAR_FORMAT) + bytes(1024)

    assert "it is not whole" in refusal(gzip.compress(plain), tmp_path)


E_ACUTE = {form: unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD")}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("README", "readme"), ("Readme", "rEADME"), ("Lib/a.so", "lib/A.so"), ("stra\u00dfe", "STRASSE"),
        (E_ACUTE["NFC"], E_ACUTE["NFD"]), (E_ACUTE["NFD"].upper(), E_ACUTE["NFC"]), ("a", "A/b"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_zip", [False, True])
def test_names_that_another_file_system_takes_for_one_are_refused(
    tmp_path: Path, first: str, second: str, is_zip: bool
):
    data = a_zip(a_zip_file(first), a_zip_file(second)) if is_zip else an_archive(a_file(first), a_file(second))

    assert "differ in case or Unicode form only" in refusal(data, tmp_path)


def test_directories_that_differ_in_case_only_may_be(tmp_path: Path):
    """As the ones of terminfo do."""
    (tmp_path / "tree").mkdir()
    directory = os.open(tmp_path / "tree", os.O_RDONLY)
    try:
        archive.unpack(io.BytesIO(an_archive(a_directory("t/X"), a_file("t/X/X-h"), a_file("t/x/xterm"))), directory)
    finally:
        os.close(directory)
    assert sorted(os.listdir(tmp_path / "tree" / "t")) == ["X", "x"]


@pytest.mark.parametrize("name", ["a" * 5000, "/".join(["a" * 99] * 50), "\u00e9" * 2500])
@pytest.mark.parametrize("is_zip", [False, True])
def test_a_name_of_five_thousand_bytes_is_refused(tmp_path: Path, name: str, is_zip: bool):
    data = a_zip(a_zip_file(name)) if is_zip else an_archive(a_file(name))
    message = refusal(data, tmp_path)

    assert "is too long" in message
    assert len(message) < 400


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (a_zip_file("../evil"), "leads out of the tree"),
        (a_zip_file("/etc/evil"), "is absolute"),
        (a_zip_file("a/../../evil"), "leads out of the tree"),
        (a_zip_file("..\\evil"), "a NUL or a backslash"),
        (a_zip_file("C:\\evil"), "a NUL or a backslash"),
        (a_zip_file("ok\0/../evil"), "a NUL or a backslash"),
        (a_zip_file("evil", mode=0o060600), "a device or a pipe"),
        (a_zip_file("evil", mode=0o020600), "a device or a pipe"),
        (a_zip_file("evil", mode=0o010600), "a device or a pipe"),
        (a_zip_link("evil", "/etc/passwd"), "the link evil -> /etc/passwd is absolute"),
        (a_zip_link("evil", "../evil"), "the link evil -> ../evil leads out"),
        (a_zip_link("evil", "x" * 5000), "empty or too long"),
        (a_zip_link("evil", ""), "empty or too long"),
        (a_zip_file("evil", compress_type=12), "packed by method 12"),
        (a_zip_file("evil", compress_type=14), "packed by method 14"),
    ],
)
def test_what_may_not_be_in_a_tar_may_not_be_in_a_zip(tmp_path: Path, entry, why: str):
    assert why in refusal(a_zip(a_zip_file("ok"), entry), tmp_path)


def test_a_zip_is_not_written_through_a_link_of_its_own(tmp_path: Path):
    data = a_zip(a_zip_link("link", ".."), a_zip_file("link/victim"))

    assert "goes through link, which is no directory" in refusal(data, tmp_path)


def test_an_encrypted_zip_is_refused(tmp_path: Path):
    data = bytearray(a_zip(a_zip_file("x")))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1

    assert "x is encrypted" in refusal(bytes(data), tmp_path)


def test_a_zip_that_says_one_name_here_and_another_there_is_refused(tmp_path: Path):
    data = a_zip(a_zip_file("name-a")).replace(b"name-a", b"name-b", 1)

    assert "it is not whole" in refusal(data, tmp_path)


def test_a_hard_link_to_the_outside_is_refused(tmp_path: Path):
    (tmp_path / "victim").write_text("mine")
    for target in (str(tmp_path / "victim"), "../victim", "x/../../victim"):
        data = an_archive(a_symlink("x", "."), a_hardlink("evil", target))
        assert "which is no file before it" in refusal(data, tmp_path)
        (tmp_path / "tree" / "x").unlink()
        (tmp_path / "tree").rmdir()
    assert (tmp_path / "victim").stat().st_nlink == 1


def test_setuid_bits_of_a_zip_are_dropped(tmp_path: Path):
    (tmp_path / "tree").mkdir()
    directory = os.open(tmp_path / "tree", os.O_RDONLY)
    try:
        archive.unpack(io.BytesIO(a_zip(a_zip_file("su", mode=0o104755))), directory)
    finally:
        os.close(directory)
    assert (tmp_path / "tree" / "su").stat().st_mode & 0o7777 == 0o755
