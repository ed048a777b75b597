import os
import select

import pytest

from controller.linux import inotify
from controller.linux.libc import SyscallError


def test_the_descriptor_is_readable_once_the_file_was_modified(tmp_path):
    file = tmp_path / "file"
    file.touch()
    fd = inotify.watch_modified(str(file))
    poll = select.poll()
    poll.register(fd, select.POLLIN)

    before = poll.poll(0)
    file.write_text("changed")

    assert before == []
    assert poll.poll(0) == [(fd, select.POLLIN)]
    os.close(fd)


def test_a_file_that_is_not_there_is_named_and_leaves_no_descriptor(tmp_path):
    before = os.listdir("/proc/self/fd")

    with pytest.raises(SyscallError, match="nothing: ENOENT"):
        inotify.watch_modified(str(tmp_path / "nothing"))

    assert len(os.listdir("/proc/self/fd")) == len(before)
