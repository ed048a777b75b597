"""The conformance check: hundreds of properties of a sandbox, each a call made in a job of a real daemon.

Asked once of a job in a runtime and once of one without. What does not hold and is meant not to is in `EXCEPTIONS`, each
with its reason. `pytest -s` prints the score of each group.
"""

import ctypes
import json
import os
import platform
import resource
import signal
import socket
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.linux import mountinfo
from controller.sandbox import syscalls
from controller.sandbox.confine import MOST_OPEN_FILES
from support.daemon import Daemon
from support.in_child import in_child
from support.python_runtime import PYTHON, python_tree

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.elsewhere("a host with /usr/bin/python3"),
    pytest.mark.skipif(PYTHON is None, reason="the host has no Python of its own to ask the questions"),
]

PROBES = Path(__file__).parents[1] / "support/conformance"
RUNTIME = "asking"
PIDS = 64
ENVIRONMENT = {"ONE": "1"}
_NUMBERS = syscalls.numbers(platform.machine())
HOSTS_OWN = ("/usr", "/bin", "/sbin", "/lib", "/etc/")
COMMAND = ["/usr/bin/python3", "-E", "-s", "-B", "/work/run.py"]
LEAST = 600
_NO_RANDOM_ADDRESSES = 0x40000
_PR_SET_TIMERSLACK = 29
_ODD_WAYS = {33: (1, 1), 41: (1, 0), 67: (1, 0)}  # PR_MCE_KILL, PR_SET_THP_DISABLE, PR_SET_MEMORY_MERGE.
_CORE_FILTER = Path("/proc/self/coredump_filter")
_IDLE_DISK = 3 << 13  # IOPRIO_CLASS_IDLE.
_RLIMIT_SIGPENDING = 11
_SECRET = "SECRET_OF_THE_HOST"
EXCEPTIONS = {
    "mounts: no mount shows where on the host its directory lies": "The kernel tells everybody who sees a bind mount "
    "which directory of its file system it is of. Only a file system of its own, or an overlay over each runtime, "
    "would hide that of the runtime, and an overlay makes every file that is opened dearer. It is no other path than "
    "that of the runtime, or of the host's programs: the property before it.",
}
_SET_BY_US = (
    "HOME",
    "TERM",
    "JOB_ID",
    "JOB_NAME",
    "JOB_NAMESPACE",
    "JOB_UID",
    "JOB_ATTEMPT",
    "PATH",
    "HOSTNAME",
    "USER",
    "LANG",
    "TMPDIR",
)


@contextmanager
def odd_ways():
    """Have this process, which starts the daemon, be as no process should: whatever a job has of it came through."""
    libc = ctypes.CDLL(None)
    soft = {
        resource.RLIMIT_STACK: 4 << 20,
        resource.RLIMIT_MEMLOCK: 1 << 16,
        resource.RLIMIT_CORE: 1 << 20,
        _RLIMIT_SIGPENDING: 777,
    }
    limits = {kind: (limit, resource.getrlimit(kind)[1]) for kind, limit in soft.items()}
    before = {kind: resource.getrlimit(kind) for kind in limits}
    umask, niceness = os.umask(0o077), os.getpriority(os.PRIO_PROCESS, 0)
    handlers = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGQUIT)
    }
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGALRM})
    personality = libc.personality(_NO_RANDOM_ADDRESSES)
    libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    os.setpriority(os.PRIO_PROCESS, 0, niceness - 3)
    for way, (value, more) in _ODD_WAYS.items():
        libc.prctl(way, value, more, 0, 0)
    core_filter = _CORE_FILTER.read_text()
    _CORE_FILTER.write_text("0x7f")
    libc.syscall(_NUMBERS["ioprio_set"], 1, 0, _IDLE_DISK)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.environ[_SECRET] = "secret"
    for kind, limit in limits.items():
        resource.setrlimit(kind, limit)
    try:
        yield
    finally:
        for kind, limit in before.items():
            resource.setrlimit(kind, limit)
        del os.environ[_SECRET]
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        libc.syscall(_NUMBERS["ioprio_set"], 1, 0, 0)
        _CORE_FILTER.write_text(f"0x{core_filter.strip()}")
        for way in _ODD_WAYS:
            libc.prctl(way, 0, 0, 0, 0)
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
        libc.prctl(_PR_SET_TIMERSLACK, 0, 0, 0, 0)
        libc.personality(personality)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.umask(umask)


@contextmanager
def things_of_the_host():
    """What a job must not find: a listener, an abstract socket, a shared memory segment, a message queue."""
    libc = ctypes.CDLL(None)
    segment = libc.shmget(0, 4096, 0o1666)
    queue = f"runwright-test-{os.getpid()}"
    own_queue = libc.mq_open(b"/" + queue.encode(), os.O_RDWR | os.O_CREAT, 0o666, None)
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(f"\0runwright-test-{os.getpid()}")
        abstract.listen()
        yield {
            "tcp_port": tcp.getsockname()[1],
            "abstract": f"runwright-test-{os.getpid()}",
            "shm_id": segment,
            "queue": queue,
        }
    libc.shmctl(segment, 0, None)
    libc.mq_unlink(b"/" + queue.encode())
    os.close(own_queue)


def open_files():
    """As many as runs get, on a host that has enough for them."""

    def most():
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (1, max(hard, MOST_OPEN_FILES)))
        except (ValueError, PermissionError):
            return min(hard, 524288)
        return 524288

    return in_child(most)


def signals():
    """As many as may wait for a kernel's first process, or for this one if it may not have so many."""
    _, hard = resource.getrlimit(_RLIMIT_SIGPENDING)
    usual = int(Path("/proc/sys/kernel/threads-max").read_text()) // 2
    return usual if hard == resource.RLIM_INFINITY else min(hard, usual)


def in_its_filesystem(path):
    """As mountinfo names what a mount shows: the host's own root may be a directory of its filesystem."""
    mounts = mountinfo.parse(Path("/proc/self/mountinfo").read_text())
    above = [mount for mount in mounts if path.startswith(mount.mount_point.rstrip("/") + "/")]
    nearest = max(reversed(above), key=lambda mount: len(mount.mount_point))  # The last one covers.
    return os.path.join(nearest.root, os.path.relpath(path, nearest.mount_point)) + "/" * path.endswith("/")


def facts_of(daemon, name, more):
    names = ("ipc", "net", "mnt", "pid", "user", "uts", "cgroup", "time")
    secret = daemon.root / "secret"
    secret.write_text("secret")
    return {
        **more,
        "name": name,
        "host_name": socket.gethostname(),
        "secret": str(secret),
        "state": "var/lib/runwright",
        "shown": [
            *map(in_its_filesystem, HOSTS_OWN),
            in_its_filesystem(f"{daemon.root}/opt/joblet/runtimes/{RUNTIME}"),
        ],
        "api_socket": str(daemon.socket),
        "launcher_socket": str(daemon.root / "run/runwright/launcher.sock"),
        "namespaces": {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in names},
        "pts_device": os.stat("/dev/pts").st_dev if os.path.exists("/dev/pts") else 0,
        "uptime": time.clock_gettime(time.CLOCK_BOOTTIME),
        "environment": [*ENVIRONMENT, *_SET_BY_US],
        "host_environment": [*(name for name in os.environ if name not in _SET_BY_US), _SECRET],
        "processors": len(os.sched_getaffinity(0)),
        "pid": daemon.pid,
        "pids": PIDS,
        "open_files": open_files(),
        "signals": signals(),
        "command": COMMAND,
        "other_ids": [0, 1000, 100000],
    }


def files_of(facts):
    files = {path.name: path.read_text() for path in PROBES.glob("*.py")}
    files["facts.json"] = json.dumps(facts)
    files["numbers.json"] = json.dumps(syscalls.numbers(platform.machine()))
    return [{"path": name, "text": text} for name, text in sorted(files.items())]


def ask(daemon, name, runtime, more):
    """Run the check as a job; return what was seen of each property, None where it holds."""
    daemon.apply(
        name,
        command=COMMAND,
        env=[{"name": key, "value": value} for key, value in ENVIRONMENT.items()],
        files=files_of(facts_of(daemon, name, more)),
        resources={"limits": {"pids": PIDS, "memory": "512Mi", "ephemeral-storage": "32Mi"}},
        **runtime,
    )
    status = daemon.ended(name)
    log = daemon.log_of(name)
    assert status["phase"] == "Succeeded", (status, log[-3000:])
    return {f"{group}: {prop}": seen for group, prop, seen in map(json.loads, log.splitlines())}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    with Daemon("runtime.default_registry=") as daemon, things_of_the_host() as things:
        python_tree(daemon.root / "opt/joblet/runtimes" / RUNTIME, RUNTIME)
        with odd_ways():
            daemon.start()
        yield {
            "legacy": ask(daemon, "legacy-asks", {}, things),
            "runtime": ask(daemon, "runtime-asks", {"runtime": RUNTIME, "installPolicy": "Never"}, things),
        }


def score_of(seen):
    """Return a line for each group: how many of its properties hold."""
    groups = defaultdict(list)
    for name, answer in seen.items():
        groups[name.split(": ")[0]].append(answer is None)
    lines = [f"{group:20} {sum(held):4} of {len(held):4}" for group, held in sorted(groups.items())]
    return "\n".join([*lines, f"{'all':20} {sum(answer is None for answer in seen.values()):4} of {len(seen):4}"])


@pytest.mark.invariant("X8")
@pytest.mark.parametrize("kind", ["legacy", "runtime"])
def test_every_property_holds_but_for_the_exceptions_with_a_reason(answers, kind):
    seen = answers[kind]
    print(f"\n{kind} job\n{score_of(seen)}")

    assert {name: answer for name, answer in seen.items() if answer is not None and name not in EXCEPTIONS} == {}
    assert len(seen) >= LEAST


def test_both_jobs_were_asked_the_same(answers):
    assert answers["legacy"].keys() == answers["runtime"].keys()


def test_an_exception_that_holds_after_all_is_none(answers):
    assert [name for name in EXCEPTIONS if all(seen[name] is None for seen in answers.values())] == []
