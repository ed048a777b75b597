"""The filter loaded for real: each forbidden call is made, and ordinary programs run."""

import ctypes
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from controller.linux import process
from controller.sandbox import seccomp, syscalls
from support.in_child import in_child, wait_status_of

MACHINE = os.uname().machine
NUMBERS = syscalls.numbers(MACHINE)
PROGRAM = seccomp.default_program(MACHINE)
POLICY = seccomp.STRICT
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
