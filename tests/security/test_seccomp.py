"""The filter loaded for real: each forbidden call is made, and ordinary programs run."""

import ctypes
import errno
import mmap
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from controller.linux import process
from controller.sandbox import seccomp, syscalls
from support.in_child import in_child, wait_status_of

MACHINE = os.uname().machine
NUMBERS = syscalls.numbers(MACHINE)
PROGRAM = seccomp.default_program(MACHINE)
POLICY = seccomp.STRICT
_MAP_HUGETLB, _MAP_NORESERVE, _MFD_HUGETLB, _SHM_HUGETLB = 0x40000, 0x4000, 0x4, 0o4000
_TIOCSETD = 0x5423
REFUSED = sorted(set(NUMBERS) - POLICY.allowed - set(POLICY.checked) - POLICY.absent)


def load():
    process.no_new_privs()
    process.load_seccomp(PROGRAM)


def errno_of(number, *arguments):
    """Make the call by its bare number and return the errno, 0 if it worked."""
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    return ctypes.get_errno() if result == -1 else 0


def under_the_filter(body):
    def filtered():
        load()
        return body()

    return in_child(filtered)


def test_every_refused_call_answers_eperm_when_made():
    # Arguments of all ones: should the filter let one through, the kernel answers EFAULT, EBADF or EINVAL.
    answers = under_the_filter(lambda: {name: errno_of(NUMBERS[name], *[-1] * 6) for name in REFUSED})

    assert answers == dict.fromkeys(REFUSED, errno.EPERM)
    assert len(answers) > 60


def test_clone3_and_numbers_of_the_future_answer_enosys():
    numbers = [NUMBERS["clone3"], 600, 1000, 100_000]

    assert under_the_filter(lambda: [errno_of(number, 0, 0) for number in numbers]) == [errno.ENOSYS] * 4


def test_clone_into_a_new_user_namespace_answers_eperm():
    assert under_the_filter(lambda: errno_of(NUMBERS["clone"], 0x10000000 | signal.SIGCHLD, 0)) == errno.EPERM


def test_sockets_to_the_hypervisor_and_to_the_crypto_api_are_refused():
    def body():
        answers = []
        for family, kind, protocol in [(40, 1, 0), (38, 5, 0), (17, 3, 0), (16, 3, 12)]:
            with pytest.raises(OSError) as refused:
                socket.socket(family, kind, protocol)
            answers.append(refused.value.errno)
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
            socket.socket(family, socket.SOCK_STREAM).close()
        return answers

    assert under_the_filter(body) == [errno.EAFNOSUPPORT] * 3 + [errno.EPROTONOSUPPORT]


@pytest.mark.elsewhere("x86_64")
@pytest.mark.skipif(MACHINE != "x86_64", reason="x32 is a convention of x86_64")
def test_an_x32_call_ends_the_process():
    def body():
        load()
        errno_of(0x40000000 | NUMBERS["getpid"])

    assert wait_status_of(body) == -signal.SIGSYS


def test_the_filter_survives_exec():
    done = subprocess.run(
        [sys.executable, "-c", "import os; os.chroot('/')"],
        preexec_fn=load,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "PermissionError: [Errno 1]" in done.stderr


PROGRAMS = {
    "bash": ["bash", "-c", 'for i in 1 2 3; do (echo $i) | cat; done >/dev/null; test "$(ulimit -n)" -gt 2; echo fine'],
    "python": [
        sys.executable,
        "-c",
        "import subprocess, threading, asyncio, multiprocessing, socket, tempfile, os\n"
        "thread = threading.Thread(target=int); thread.start(); thread.join()\n"
        "subprocess.check_output(['true']); multiprocessing.Lock()\n"
        "asyncio.run(asyncio.sleep(0)); socket.getaddrinfo('127.0.0.1', 80)\n"
        "os.sched_getaffinity(0); tempfile.TemporaryFile().write(b'x'); print('fine')",
    ],
    "gcc": ["sh", "-c", "echo 'int main(void){return 0;}' | gcc -x c -o /dev/null - && echo fine"],
    "node": ["node", "-e", "require('fs').readdirSync('/'); setTimeout(() => console.log('fine'), 1)"],
    "java": ["sh", "-c", "java -Xshare:auto -version 2>/dev/null && echo fine"],
    "git": ["sh", "-c", "git --version >/dev/null && echo fine"],
}


@pytest.mark.parametrize(
    "name", [name for name in PROGRAMS if shutil.which(name if name != "python" else sys.executable)]
)
def test_an_ordinary_program_runs(name):
    done = subprocess.run(PROGRAMS[name], preexec_fn=load, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.strip()) == (0, "fine"), done.stderr


def under_both(body):
    """Return what `body` returns under the strict profile, and under baseline."""

    def under(policy):
        def filtered():
            process.no_new_privs()
            process.load_seccomp(seccomp.compile_policy(policy, MACHINE))
            return body()

        return in_child(filtered)

    return under(seccomp.STRICT), under(seccomp.BASELINE)


def test_huge_pages_are_as_if_the_host_had_none():
    def body():
        pages, mode = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE, mmap.PROT_READ | mmap.PROT_WRITE
        return (
            errno_of(NUMBERS["memfd_create"], 0, _MFD_HUGETLB),  # EFAULT, were it allowed: the name is at no address.
            errno_of(NUMBERS["mmap"], 0, 2 << 20, mode, pages | _MAP_HUGETLB, -1, 0),
            errno_of(NUMBERS["shmget"], 0, 2 << 20, 0o600 | _SHM_HUGETLB),
            errno_of(NUMBERS["mmap"], 0, 2 << 20, mode, pages, -1, 0),
            os.close(os.memfd_create("small")),
        )

    assert under_both(body) == ((errno.ENOMEM, errno.ENOMEM, errno.ENOMEM, 0, None),) * 2


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize(
    "kind", [4, 5, 6, 10, 6 | socket.SOCK_CLOEXEC], ids=["RDM", "SEQPACKET", "DCCP", "PACKET", "and flags"]
)
def test_no_type_of_internet_socket_brings_a_module_that_its_protocol_may_not(family, kind):
    # The kernel, if it were asked, would look for a module and answer ESOCKTNOSUPPORT, or give SCTP or DCCP.
    assert under_the_filter(lambda: errno_of(NUMBERS["socket"], int(family), kind, 0)) == errno.EPROTONOSUPPORT


def test_ordinary_types_of_internet_sockets_work_with_all_their_flags():
    def body():
        for flags in (0, socket.SOCK_CLOEXEC, socket.SOCK_NONBLOCK, socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                socket.socket(socket.AF_INET, kind | flags).close()
                socket.socket(socket.AF_INET6, kind | flags).close()
        return "fine"

    assert under_the_filter(body) == "fine"


def test_no_terminal_is_given_another_line_discipline():
    def body():
        main, terminal = os.openpty()
        discipline = ctypes.c_int(0)  # The one that it has, which the kernel would give it again.
        return errno_of(NUMBERS["ioctl"], terminal, _TIOCSETD, ctypes.addressof(discipline)), os.isatty(main)

    assert under_both(body) == ((errno.EPERM, True),) * 2


@pytest.mark.parametrize("request_", [0x8940, 0x8941, 0x8982, 0x8983, 0x89A0, 0x89A1], ids=hex)
def test_no_bridge_and_no_vlan_is_asked_for_the_old_way(request_):
    def body():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            return errno_of(NUMBERS["ioctl"], any_socket.fileno(), request_, 0)  # EFAULT, or the module is loaded.

    assert under_both(body) == (errno.EPERM, errno.EPERM)


@pytest.mark.parametrize("request_", [0x80111500, 0x80811501], ids=["its uuid", "its name in sysfs"])
def test_a_file_does_not_tell_which_disk_of_the_host_it_is_on(request_):
    def body():
        place = ctypes.create_string_buffer(256)
        fd = os.open("/usr", os.O_RDONLY)
        return errno_of(NUMBERS["ioctl"], fd, request_, ctypes.addressof(place)), place.raw.strip(b"\0")

    assert under_both(body) == ((errno.ENOTTY, b""),) * 2


def test_one_run_cannot_take_all_asynchronous_input_and_output_of_the_host():
    def body():
        context = ctypes.c_ulong(0)
        most = int(Path("/proc/sys/fs/aio-max-nr").read_text())
        return errno_of(NUMBERS["io_setup"], most // 2, ctypes.addressof(context)), context.value

    assert under_the_filter(body) == (errno.ENOSYS, 0)
