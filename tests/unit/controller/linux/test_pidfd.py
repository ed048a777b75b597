import os
import signal

import pytest

from controller.linux import pidfd, process


@pytest.fixture
def child():
    pid = os.fork()
    if pid == 0:
        signal.pause()
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_process_is_held_by_pid_and_start_time(child):
    fd = pidfd.open_identified(child, process.start_time(child))

    assert not pidfd.has_exited(fd)
    os.close(fd)


def test_a_process_with_another_start_time_is_another(child):
    with pytest.raises(ProcessLookupError, match="the one started at 12345 is no more"):
        pidfd.open_identified(child, 12345)


def test_an_exit_is_seen_before_and_after_it_is_reaped():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    fd = os.pidfd_open(pid)
    os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOWAIT)
    before = pidfd.has_exited(fd)
    os.waitpid(pid, 0)

    assert (before, pidfd.has_exited(fd)) == (True, True)
    os.close(fd)


def test_a_pid_that_is_nobodys_is_no_more():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)

    with pytest.raises(ProcessLookupError):
        pidfd.open_identified(pid, 1)


@pytest.mark.needs_root
def test_a_descriptor_of_another_process_can_be_taken():
    read_end, write_end = os.pipe()
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write_end)
        theirs = os.dup(read_end)
        os.write(ready_write, bytes([theirs]))
        signal.pause()
    number = os.read(ready_read, 1)[0]
    process_fd = os.pidfd_open(pid)
    taken = pidfd.take_descriptor(process_fd, number)
    os.write(write_end, b"through")

    assert os.read(taken, 7) == b"through"
    signal.pidfd_send_signal(process_fd, signal.SIGKILL)
    os.waitpid(pid, 0)
    for fd in (read_end, write_end, ready_read, ready_write, process_fd, taken):
        os.close(fd)
