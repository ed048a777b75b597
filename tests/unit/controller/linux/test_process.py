import os
import signal
import struct
from pathlib import Path

import pytest

from controller.linux import process, procfs
from controller.linux.libc import SyscallError
from support.in_child import in_child, wait_status_of


def own_status():
    return procfs.parse_status(Path("/proc/self/status").read_text())


def test_no_new_privs_holds_from_then_on():
    def body():
        before = own_status().no_new_privs
        process.no_new_privs()
        return before, own_status().no_new_privs

    assert in_child(body) == (False, True)


@pytest.mark.needs_root
def test_the_files_of_a_process_that_is_not_dumpable_are_roots():
    def body():
        os.setresuid(65534, 65534, 65534)
        process.set_dumpable(True)
        before = os.stat("/proc/self/status").st_uid
        process.set_dumpable(False)
        return before, os.stat("/proc/self/status").st_uid

    assert in_child(body) == (65534, 0)


def test_whether_a_process_is_dumpable_is_as_it_was_set():
    def body():
        seen = [process.is_dumpable()]
        for wanted in (False, True):
            process.set_dumpable(wanted)
            seen.append(process.is_dumpable())
        return seen

    assert in_child(body) == [True, False, True]


def test_the_parent_death_signal_ends_an_orphan():
    alive_read, alive_write = os.pipe()

    def be_a_parent_that_ends():
        ready_read, ready_write = os.pipe()
        if os.fork() == 0:
            process.set_parent_death_signal(signal.SIGKILL)
            os.write(ready_write, b".")
            signal.pause()
        os.read(ready_read, 1)

    assert wait_status_of(be_a_parent_that_ends) == 0
    os.close(alive_write)
    assert os.read(alive_read, 1) == b"", "the pipe ends only when the orphan, its last writer, has died"
    os.close(alive_read)


def test_a_signal_that_is_none_is_refused():
    with pytest.raises(SyscallError, match="cannot set the parent death signal: EINVAL"):
        process.set_parent_death_signal(1000)


def test_a_subreaper_inherits_orphans():
    def body():
        process.set_child_subreaper(True)
        parent = os.fork()
        if parent == 0:
            if os.fork() == 0:
                os._exit(7)
            os._exit(0)
        os.waitpid(parent, 0)
        return os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1])

    assert in_child(body) == 7


def test_descriptors_of_a_range_are_closed_and_no_others():
    def body():
        fds = [os.dup(0) for _ in range(4)]
        process.close_range(fds[1], fds[2])
        return [_is_open(fd) for fd in fds]

    assert in_child(body) == [True, False, False, True]


def test_descriptors_can_be_marked_to_close_on_exec():
    def body():
        fd = os.dup(0)
        os.set_inheritable(fd, True)
        process.close_range(fd, process.LAST_FD, cloexec=True)
        return os.get_inheritable(fd)

    assert in_child(body) is False


def _is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_a_filter_that_is_loaded_filters():
    # Allow all but getppid: answer it with errno 99.
    number = {"x86_64": 110, "aarch64": 173}[os.uname().machine]
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in [(0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x50063), (6, 0, 0, 0x7FFF0000)]
    )

    def body():
        process.no_new_privs()
        process.load_seccomp(program)
        return os.getppid(), own_status().seccomp_filters

    assert in_child(body) == (-99, own_status().seccomp_filters + 1)


def test_a_malformed_filter_is_refused():
    def body():
        process.no_new_privs()
        with pytest.raises(SyscallError, match="cannot load the seccomp filter: EINVAL"):
            process.load_seccomp(b"\xff" * 8)

    in_child(body)


def test_a_start_time_stays_and_a_later_process_has_a_later_one():
    ours = process.start_time()
    theirs = in_child(process.start_time)

    assert process.start_time(os.getpid()) == ours
    assert theirs >= ours > 0


def test_a_process_that_is_not_there_has_no_start_time():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)

    with pytest.raises(FileNotFoundError):
        process.start_time(pid)


def test_our_pid_as_proc_counts_is_ours_in_the_same_namespace():
    assert process.host_pid() == os.getpid()


def test_the_boot_id_is_a_uuid_that_stays():
    assert len(process.boot_id()) == 36
    assert process.boot_id() == process.boot_id()
