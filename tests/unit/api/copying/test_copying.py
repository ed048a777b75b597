"""Trees through a stream and back: the same tree; and hostile streams and places, out of which nothing leads."""

import io
import itertools
import os
import re
import resource
import socket
import stat
import subprocess
import sys
import tarfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.copying import pack, unpack, wire
from support.deep_tree import make_deep_tree

ROOT = Path(__file__).resolve().parents[4]
MIB = 1 << 20


class Buffer:
    def __init__(self, content=b""):
        self.content = bytearray(content)

    def write(self, content):
        self.content += content

    def read(self, most_bytes):
        part = bytes(self.content[:most_bytes])
        del self.content[:most_bytes]
        return part


def through(source, target):
    buffer = Buffer()
    noted = pack.pack(str(source), buffer)
    return noted, unpack.unpack(buffer, str(target))


def entries(root):
    found = {}
    for directory, _, files in os.walk(root):
        for path in (directory, *(f"{directory}/{name}" for name in files)):
            status = os.lstat(path)
            name = os.path.relpath(path, root)
            found[name] = (stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_mtime_ns)
    return found


def a_member(name, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def a_stream(*members, ends=True):
    out = io.BytesIO()
    with tarfile.open(mode="w|", fileobj=out, format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
        if ends:
            tar.addfile(a_member(wire.END, pax_headers={wire.END: wire.end_of([])})[0])
    return Buffer(out.getvalue())


A_TREE = a_member(".", type=tarfile.DIRTYPE, mode=0o755, pax_headers={wire.BASE_NAME: "tree"})


def test_a_tree_comes_back_with_its_links_modes_and_times(tmp_path):
    source = tmp_path / "source"
    (source / "sub/deep").mkdir(parents=True)
    (source / "sub/file").write_bytes(b"content")
    (source / "sub/file").chmod(0o640)
    (source / "run.sh").write_bytes(b"#!/bin/sh\n")
    (source / "run.sh").chmod(0o755)
    (source / "link").symlink_to("sub/file")
    (source / "dangling").symlink_to("/nowhere/at/all")
    os.link(source / "sub/file", source / "sub/deep/same")
    (source / "sub").chmod(0o511)
    os.utime(source / "sub/file", ns=(1_500_000_000_123_456_789, 1_500_000_000_123_456_789))

    noted, problems = through(source, tmp_path / "copy")

    assert (noted, problems) == ([], [])
    assert entries(tmp_path / "copy") == entries(source)
    assert os.readlink(tmp_path / "copy/dangling") == "/nowhere/at/all"
    assert (tmp_path / "copy/sub/file").stat().st_ino == (tmp_path / "copy/sub/deep/same").stat().st_ino


def test_holes_stay_holes_and_are_not_sent(tmp_path):
    with open(tmp_path / "sparse", "wb") as file:
        file.seek(200 * MIB)
        file.write(b"middle")
        file.truncate(1000 * MIB)
    buffer = Buffer()
    pack.pack(str(tmp_path / "sparse"), buffer)
    sent = len(buffer.content)

    problems = unpack.unpack(buffer, str(tmp_path / "copy"))

    status = (tmp_path / "copy").stat()
    with open(tmp_path / "copy", "rb") as file:
        file.seek(200 * MIB)
        assert file.read(6) == b"middle"
    assert problems == []
    assert (status.st_size, status.st_blocks * 512 < MIB, sent < MIB) == (1000 * MIB, True, True)


def test_a_file_that_is_one_hole_comes_back_and_so_do_those_behind_it(tmp_path):
    (tmp_path / "source").mkdir()
    with open(tmp_path / "source/hole", "wb") as file:
        file.truncate(MIB)
    (tmp_path / "source/next").write_bytes(os.urandom(MIB))

    noted, problems = through(tmp_path / "source", tmp_path / "copy")

    assert (noted, problems) == ([], [])
    assert (tmp_path / "copy/hole").read_bytes() == bytes(MIB)
    assert (tmp_path / "copy/hole").stat().st_blocks == 0
    assert (tmp_path / "copy/next").read_bytes() == (tmp_path / "source/next").read_bytes()


def test_zeros_of_a_file_without_holes_become_holes(tmp_path):
    (tmp_path / "zeros").write_bytes(bytes(8 * MIB) + b"end")

    through(tmp_path / "zeros", tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == (tmp_path / "zeros").read_bytes()
    assert (tmp_path / "copy").stat().st_blocks * 512 < MIB


@pytest.mark.parametrize(
    "name", ["a b", "-rf", "new\nline", "quote'\"", "ünïcode", "\udcff\udcfe", "x" * 255, "...", "a:b"]
)
def test_names_come_back_whatever_they_are(tmp_path, name):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / name).write_bytes(b"it")

    _, problems = through(tmp_path / "source", tmp_path / "copy")

    assert problems == []
    assert os.listdir(tmp_path / "copy") == [name]


def test_a_file_goes_into_a_directory_under_its_own_name(tmp_path):
    (tmp_path / "file").write_bytes(b"it")
    (tmp_path / "there").mkdir()

    through(tmp_path / "file", tmp_path / "there")

    assert (tmp_path / "there/file").read_bytes() == b"it"


def test_what_is_no_file_is_told_and_the_rest_is_copied(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    os.mkfifo(source / "fifo")
    (source / "file").write_bytes(b"it")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(source / "socket"))

    noted, problems = through(source, tmp_path / "copy")

    assert noted == problems == ["./fifo: it is a FIFO", "./socket: it is a socket"]
    assert os.listdir(tmp_path / "copy") == ["file"]


def test_a_path_with_nothing_there_is_told_before_anything_is_written(tmp_path):
    buffer = Buffer()

    with pytest.raises(pack.NothingThere, match="No such file"):
        pack.pack(str(tmp_path / "none"), buffer)

    assert not buffer.content


@pytest.mark.parametrize("name", ["/etc/passwd", "./../out", "./a/../../out", "../out", "out", "./", ".//a", "./a/./b"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    (tmp_path / "in").mkdir()
    stream = a_stream(A_TREE, a_member(name, b"bad"), a_member("./good", b"good"))

    problems = unpack.unpack(stream, str(tmp_path / "in"))

    assert len(problems) == 1
    assert "not allowed" in problems[0]
    assert (tmp_path / "in/tree/good").read_bytes() == b"good"
    assert sorted(os.listdir(tmp_path)) == ["in"]


def test_no_link_of_the_stream_is_followed(tmp_path):
    (tmp_path / "outside").mkdir()
    link = a_member("./link", type=tarfile.SYMTYPE, linkname=str(tmp_path / "outside"))
    stream = a_stream(A_TREE, link, a_member("./link/file", b"bad"))

    problems = unpack.unpack(stream, str(tmp_path / "in"))

    assert ["./link/file" in problem for problem in problems] == [True]
    assert os.listdir(tmp_path / "outside") == []


def test_no_link_that_was_there_is_followed(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "victim").write_bytes(b"kept")
    (tmp_path / "in/tree").mkdir(parents=True)
    (tmp_path / "in/tree/sub").symlink_to(tmp_path / "outside")
    (tmp_path / "in/tree/file").symlink_to(tmp_path / "victim")
    stream = a_stream(A_TREE, a_member("./sub/file", b"bad"), a_member("./file", b"new"))

    problems = unpack.unpack(stream, str(tmp_path / "in"))

    assert len(problems) == 1
    assert os.listdir(tmp_path / "outside") == []
    assert (tmp_path / "victim").read_bytes() == b"kept"
    assert (tmp_path / "in/tree/file").read_bytes() == b"new"
    assert not (tmp_path / "in/tree/file").is_symlink()


def test_a_hard_link_leads_to_nothing_outside(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "in").mkdir()
    links = [
        a_member(f"./{number}", type=tarfile.LNKTYPE, linkname=name)
        for number, name in enumerate((str(tmp_path / "secret"), "./../../secret", "../secret"))
    ]

    problems = unpack.unpack(a_stream(A_TREE, *links), str(tmp_path / "in"))

    assert len(problems) == 3
    assert os.listdir(tmp_path / "in/tree") == []


def test_devices_and_fifos_of_a_stream_are_not_made(tmp_path):
    odd = [a_member(f"./{kind!r}", type=kind) for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)]

    problems = unpack.unpack(a_stream(A_TREE, *odd), str(tmp_path / "in"))

    assert len(problems) == 3
    assert os.listdir(tmp_path / "in") == []


def test_a_hard_link_to_what_has_no_name_is_told_and_the_rest_is_copied(tmp_path):
    (tmp_path / "in").mkdir()
    nameless = a_member(".", type=tarfile.DIRTYPE, mode=0o755)
    link = a_member("./link", type=tarfile.LNKTYPE, linkname=".")

    problems = unpack.unpack(a_stream(nameless, link, a_member("./good", b"good")), str(tmp_path / "in"))

    assert problems == ["./link: it is a link to a directory: '.'"]
    assert os.listdir(tmp_path / "in") == ["good"]


def a_stream_that_ends(end):
    out = io.BytesIO()
    with tarfile.open(mode="w|", fileobj=out, format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(A_TREE[0])
        tar.addfile(a_member(wire.END, pax_headers={wire.END: end})[0])
    return Buffer(out.getvalue())


@pytest.mark.parametrize("end", ["", "no JSON", "{}", "[" * 100_000])
def test_an_end_that_nobody_packs_makes_a_bad_stream(tmp_path, end):
    with pytest.raises(unpack.BadStream, match="none of ours"):
        unpack.unpack(a_stream_that_ends(end), str(tmp_path / "in"))


SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "./it", "GNU.sparse.realsize": "4"}


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        (SPARSE, b"no map"),
        (SPARSE, b"1\nx\ny\n"),
        ({**SPARSE, "GNU.sparse.realsize": "many"}, b"0\n"),
        ({**SPARSE, "GNU.sparse.realsize": "9" * 30}, b"0\n"),
    ],
)
def test_a_map_of_holes_that_nobody_packs_makes_a_bad_stream(tmp_path, headers, content):
    stream = a_stream(A_TREE, a_member("./it", content.ljust(512, b"\0"), pax_headers=headers))

    with pytest.raises(unpack.BadStream):
        unpack.unpack(stream, str(tmp_path / "in"))


def test_a_link_with_a_nul_in_it_makes_a_bad_stream(tmp_path):
    link = a_member("./link", type=tarfile.SYMTYPE, pax_headers={"linkpath": "a\0b"})

    with pytest.raises(unpack.BadStream, match="none of ours"):
        unpack.unpack(a_stream(A_TREE, link), str(tmp_path / "in"))


def test_what_the_umask_forbids_is_given_to_nothing(tmp_path):
    members = (a_member("./all", b"it", mode=0o777), a_member("./sub", type=tarfile.DIRTYPE, mode=0o1777))

    unpack.unpack(a_stream(A_TREE, *members), str(tmp_path / "in"), umask=0o027)

    modes = {name: stat.S_IMODE((tmp_path / "in" / name).stat().st_mode) for name in ("all", "sub", ".")}
    assert modes == {"all": 0o750, "sub": 0o1750, ".": 0o750}


class Whole(list):
    """A list that is not to be copied in parts."""

    def __getitem__(self, index):
        assert isinstance(index, int), "so much work for each piece as there are pieces"
        return super().__getitem__(index)


def test_each_piece_of_a_file_costs_the_same_however_many_there_are(tmp_path):
    (tmp_path / "file").write_bytes(b"abcdefgh" * 1000)
    with open(tmp_path / "file", "rb") as file:
        content = pack._Content(file.fileno(), Whole((number * 8, 2) for number in range(1000)))

        assert content.read(5000) == b"ab" * 1000


def test_setuid_bits_are_not_taken_over(tmp_path):
    unpack.unpack(a_stream(A_TREE, a_member("./su", b"#!", mode=0o6755)), str(tmp_path / "in"))

    assert stat.S_IMODE((tmp_path / "in/su").stat().st_mode) == 0o755


def test_a_base_name_that_leads_elsewhere_is_not_used(tmp_path):
    (tmp_path / "in").mkdir()
    tree = a_member(".", type=tarfile.DIRTYPE, mode=0o755, pax_headers={wire.BASE_NAME: "../out"})

    unpack.unpack(a_stream(tree, a_member("./file", b"it")), str(tmp_path / "in"))

    assert sorted(os.listdir(tmp_path)) == ["in"]
    assert (tmp_path / "in/file").read_bytes() == b"it"


@pytest.mark.parametrize("cut", [0, 100, 512, 1500, 20_000, -10_240])
def test_a_stream_that_is_cut_short_is_told(tmp_path, cut):
    buffer = Buffer()
    (tmp_path / "file").write_bytes(os.urandom(40_000))
    pack.pack(str(tmp_path / "file"), buffer)

    with pytest.raises(unpack.BadStream):
        unpack.unpack(Buffer(bytes(buffer.content[:cut])), str(tmp_path / "copy"))


def test_a_tar_without_our_end_is_told(tmp_path):
    with pytest.raises(unpack.BadStream, match="cut short"):
        unpack.unpack(a_stream(A_TREE, ends=False), str(tmp_path / "in"))


def test_a_directory_that_is_not_there_is_told(tmp_path):
    with pytest.raises(NotADirectoryError, match="cannot copy to"):
        unpack.unpack(a_stream(A_TREE), str(tmp_path / "none/below"))


def test_a_very_deep_tree_is_told_of_and_no_descriptor_is_left(tmp_path):
    deep = make_deep_tree(tmp_path / "source", 300)
    before = len(os.listdir("/proc/self/fd"))

    noted, problems = through(deep, tmp_path / "copy")

    assert "directories deep" in noted[0]
    assert problems == noted
    assert len(os.listdir("/proc/self/fd")) == before


@contextmanager
def few_open_files(more):
    """Let this process open so many files more, and no further one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir("/proc/self/fd")}
    free = (number for number in itertools.count() if number not in taken)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(itertools.islice(free, more, None)), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_tree_too_deep_for_the_limit_of_open_files_is_told_of_once_with_the_way_out(tmp_path):
    make_deep_tree(tmp_path / "source", 60)
    buffer = Buffer()
    assert pack.pack(str(tmp_path / "source"), buffer) == []

    with few_open_files(20):
        (problem,) = unpack.unpack(buffer, str(tmp_path / "copy"))

    assert re.match(
        r"(\./|\w+/)+\w+ and \d\d more: too many open files: each level of directories takes one: ", problem
    )
    assert "raise the limit, as by ulimit -n 4096" in problem


def test_what_is_too_deep_to_be_read_is_told_of_once_too_and_the_rest_is_copied(tmp_path):
    (tmp_path / "source").mkdir()
    for name in ("a", "b"):
        make_deep_tree(tmp_path / "source" / name, 60)
    (tmp_path / "source" / "c").write_text("there")

    buffer = Buffer()
    with few_open_files(20):
        noted = pack.pack(str(tmp_path / "source"), buffer)

    assert unpack.unpack(buffer, str(tmp_path / "copy")) == noted
    assert [" and 1 more: too many open files: " in each for each in noted] == [True]
    assert (tmp_path / "copy" / "c").read_text() == "there"


def test_it_needs_nothing_but_the_standard_library():
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import controller.launcher.copy_deed; print(*sys.modules)"
    output = subprocess.check_output([sys.executable, "-I", "-S", "-c", code], text=True)

    imported = {name.partition(".")[0] for name in output.split()}
    assert imported <= set(sys.stdlib_module_names) | {"controller", "api", "__main__"}
