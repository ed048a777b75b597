"""What a build made becomes what an archive would have become."""

import os
import socket
import stat

import pytest

from controller.engine.errors import TerminalError
from controller.runtime.archives.extraction import Limits
from controller.runtime.build.taken_out import normalise

INSIDE = "/opt/joblet/runtimes/a"


@pytest.fixture
def tree(tmp_path):
    tree = tmp_path / "tree"
    (tree / "isolated/usr/bin").mkdir(parents=True)
    (tree / "isolated/usr/bin/tool").touch()
    return tree


def said_of(tree, **options):
    said: list[str] = []
    normalise(tree, INSIDE, said.append, **options)
    return said


def test_modes_are_those_of_any_tree_and_nothing_is_setuid(tree):
    (tree / "isolated/usr/bin/tool").chmod(0o4711)
    (tree / "secret").touch(mode=0o600)
    (tree / "isolated").chmod(0o2700)

    said_of(tree)

    assert stat.S_IMODE((tree / "isolated/usr/bin/tool").stat().st_mode) == 0o755
    assert stat.S_IMODE((tree / "secret").stat().st_mode) == 0o644
    assert stat.S_IMODE((tree / "isolated").stat().st_mode) == 0o755


@pytest.mark.needs_root
def test_everything_belongs_to_root_and_has_no_attributes(tree):
    tool = tree / "isolated/usr/bin/tool"
    os.chown(tool, 12, 34)
    os.setxattr(tool, "user.note", b"x")

    said_of(tree)

    assert (tool.stat().st_uid, tool.stat().st_gid, os.listxattr(tool)) == (0, 0, [])


def test_sockets_and_pipes_are_left_behind(tree):
    os.mkfifo(tree / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tree / "sock"))

    said_of(tree)

    assert os.listdir(tree) == ["isolated"]


@pytest.mark.needs_root
def test_a_device_is_refused(tree):
    os.mknod(tree / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))

    with pytest.raises(TerminalError, match="null is a device"):
        said_of(tree)


def test_a_link_by_the_trees_own_path_becomes_relative(tree):
    (tree / "bin").mkdir()
    (tree / "bin/tool").symlink_to(f"{INSIDE}/isolated/usr/bin/tool")
    (tree / "self").symlink_to(INSIDE)

    said = said_of(tree)

    assert os.readlink(tree / "bin/tool") == "../isolated/usr/bin/tool"
    assert os.readlink(tree / "self") == "."
    assert len(said) == 2


def test_below_isolated_links_count_from_there(tree):
    (tree / "isolated/usr/bin/python").symlink_to("/usr/bin/python3")

    assert said_of(tree) == []


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "/opt/joblet/runtimes/ab/x"])
def test_a_link_out_of_the_tree_is_refused(tree, target):
    (tree / "out").symlink_to(target)

    with pytest.raises(TerminalError, match="the link out -> ") as refused:
        said_of(tree)

    assert refused.value.reason == "InvalidRuntime"


def test_too_much_is_refused(tree):
    (tree / "file").write_bytes(b"x" * 100)

    with pytest.raises(TerminalError, match="more than 3 entries"):
        said_of(tree, limits=Limits(entries=3))
    with pytest.raises(TerminalError, match="more than 99 bytes"):
        said_of(tree, limits=Limits(expanded_bytes=99))
    with pytest.raises(TerminalError, match="is too long"):
        said_of(tree, limits=Limits(path_bytes=12))
