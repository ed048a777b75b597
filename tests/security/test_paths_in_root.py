"""Paths that a run or a runtime wrote never lead out of its root: links, `..`, magic links, races, mounts.

Answers CVE-2019-14271 (docker cp), CVE-2021-30465 (runc, symlink exchange) and CVE-2024-21626 (magic links).
"""

import errno
import os

import pytest

from controller.linux import mount_api, openat2
from controller.linux.libc import SyscallError
from controller.linux.mount_api import MountAttribute
from controller.linux.openat2 import Resolve
from support.in_child import in_own_mounts


@pytest.fixture
def root(tmp_path):
    inside = tmp_path / "root"
    (inside / "etc").mkdir(parents=True)
    (inside / "etc" / "secret").write_text("the run's own")
    (tmp_path / "secret").write_text("the host's")
    fd = os.open(inside, os.O_PATH)
    yield inside, fd
    os.close(fd)


def text_of(fd):
    with os.fdopen(fd) as stream:
        return stream.read()


@pytest.mark.parametrize("path", ["../secret", "etc/../../secret", "/../../../../secret", "etc/../../../tmp/secret"])
def test_dots_stop_at_the_root(root, path):
    with pytest.raises(SyscallError) as refused:
        openat2.open_in_root(root[1], path, os.O_RDONLY)

    assert refused.value.errno == errno.ENOENT


@pytest.mark.parametrize("link", ["/etc/secret", "../../../etc/secret", "../etc/../etc/secret"])
def test_links_are_read_as_from_inside(root, link):
    inside, fd = root
    (inside / "etc" / "link").symlink_to(link)

    assert text_of(openat2.open_in_root(fd, "etc/link", os.O_RDONLY)) == "the run's own"


def test_a_link_to_the_hosts_file_finds_none(root, tmp_path):
    inside, fd = root
    (inside / "link").symlink_to(tmp_path / "secret")

    with pytest.raises(SyscallError) as refused:
        openat2.open_in_root(fd, "link", os.O_RDONLY)

    assert refused.value.errno == errno.ENOENT


def test_a_link_cannot_have_a_file_made_outside(root, tmp_path):
    inside, fd = root
    (inside / "out").symlink_to(tmp_path)

    with pytest.raises(SyscallError):
        openat2.open_in_root(fd, "out/new", os.O_CREAT | os.O_WRONLY, 0o644)

    assert not (tmp_path / "new").exists()


def test_links_that_go_in_circles_end(root):
    inside, fd = root
    (inside / "a").symlink_to("b")
    (inside / "b").symlink_to("a")

    with pytest.raises(SyscallError) as refused:
        openat2.open_in_root(fd, "a", os.O_RDONLY)

    assert refused.value.errno == errno.ELOOP


@pytest.mark.needs_root
def test_the_magic_links_of_proc_are_refused(root, tmp_path):
    inside, _ = root
    (inside / "proc").mkdir()

    def body():
        with mount_api.new_filesystem("proc", {}, MountAttribute.NOSUID) as tree:
            mount_api.attach(tree, inside / "proc")
        outside = os.open(tmp_path, os.O_PATH)
        refused = []
        for path in (f"proc/self/fd/{outside}/secret", "proc/self/root/etc/passwd", "proc/self/cwd"):
            with pytest.raises(SyscallError) as error:
                openat2.open_in_root(os.open(inside, os.O_PATH), path, os.O_RDONLY)
            refused.append(error.value.errno)
        return refused

    assert in_own_mounts(body) == [errno.ELOOP] * 3


def test_leaving_can_be_made_an_error_in_place_of_staying(root):
    with pytest.raises(SyscallError) as refused:
        openat2.open_in_root(root[1], "../secret", os.O_RDONLY, resolve=Resolve.BENEATH)

    assert refused.value.errno == errno.EXDEV


def test_a_link_exchanged_all_the_while_never_leads_out(root, tmp_path):
    inside, fd = root
    (inside / "honest").symlink_to("etc")
    (inside / "evil").symlink_to(tmp_path)
    (inside / "link").symlink_to("etc")
    pid = os.fork()
    if pid == 0:
        for turn in range(20_000):
            name = inside / f"next{turn}"
            os.symlink("etc" if turn % 2 else str(tmp_path), name)
            os.rename(name, inside / "link")
        os._exit(0)

    seen = set()
    for _ in range(3000):
        try:
            seen.add(text_of(openat2.open_in_root(fd, "link/secret", os.O_RDONLY)))
        except SyscallError as error:
            seen.add(error.errno)
    os.kill(pid, 9)
    os.waitpid(pid, 0)

    assert seen <= {"the run's own", errno.ENOENT, errno.EAGAIN}
    assert "the run's own" in seen
