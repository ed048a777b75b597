import errno
import os
import pickle

import pytest

from controller.linux import libc
from controller.linux.libc import SyscallError


def test_a_failed_call_says_what_it_was_for_and_what_the_kernel_said():
    with pytest.raises(SyscallError) as failed:
        libc.syscall("setns", -1, 0, purpose="enter the network of job/default/etl")

    assert str(failed.value) == "cannot enter the network of job/default/etl: EBADF (Bad file descriptor) from setns"
    assert (failed.value.errno, failed.value.call) == (errno.EBADF, "setns")


def test_an_error_keeps_its_parts_through_pickle():
    error = SyscallError("open_tree", "take a copy of /srv", errno.ENOENT, "gone")

    copy = pickle.loads(pickle.dumps(error))

    assert str(copy) == str(error)
    assert copy.errno == errno.ENOENT


def test_a_call_without_a_number_here_is_enosys_and_names_the_machines(monkeypatch):
    monkeypatch.setattr(libc, "_numbers", {})

    with pytest.raises(SyscallError, match="runs on x86_64, aarch64") as failed:
        libc.syscall("unshare", 0, purpose="leave")

    assert failed.value.errno == errno.ENOSYS


def test_both_machines_know_the_same_calls():
    assert libc._NUMBERS["x86_64"].keys() == libc._NUMBERS["aarch64"].keys()


def test_an_address_is_that_of_the_bytes_themselves(tmp_path):
    path = os.fsencode(tmp_path)
    before = os.open(tmp_path, os.O_PATH)

    how = (os.O_PATH | os.O_CLOEXEC).to_bytes(8, "little") + bytes(16)
    opened = libc.syscall("openat2", libc.AT_FDCWD, libc.address_of(path), how, len(how), purpose="open it")

    assert os.path.sameopenfile(before, opened)
    os.close(before)
    os.close(opened)
