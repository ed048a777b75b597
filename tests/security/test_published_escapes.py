"""Ways out of other sandboxes that were published, each tried by a job in a real one of ours.

What answers each of them, and where those are tested that are not here, is in `docs/explanation/published-escapes.md`.
"""

import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from controller.sandbox.spec import Bind, EtcFile
from support.launching import host_sandbox

pytestmark = pytest.mark.needs_root

PRELUDE = """
import ctypes, errno, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    ctypes.set_errno(0)
    done = libc.syscall(*(ctypes.c_long(one) if isinstance(one, int) else one for one in arguments))
    return done if done >= 0 else errno.errorcode[ctypes.get_errno()]
def refused(function, *arguments):
    try:
        return function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
"""
REFUSED = {"EPERM", "EACCES", "ENOSYS", "EROFS", "ENOENT", "ENODEV", "ENOTTY", "ENXIO"}


def asked(launching, code, **fields):
    """What a Python program in a sandbox prints."""
    record, output = launching.run("/usr/bin/python3", "-c", PRELUDE + code, **fields)

    assert record.exit_code == 0, launching.errors_of(record)
    return output.split()


# The launcher's own program, and what a joining process holds


@pytest.mark.parametrize("way", ["command", "interpreter"])
def test_the_program_behind_proc_self_exe_cannot_be_written_to(launching, way):
    """CVE-2019-5736: a command that is the runtime's own program, which it then opens for writing."""
    program = Path(os.path.realpath(sys.executable))
    before = (program.stat().st_mtime_ns, hashlib.sha256(program.read_bytes()).hexdigest())
    then = "import os,sys; fd = os.open('/proc/self/exe', os.O_PATH); os.set_inheritable(fd, True)"
    write = "try:\\n open('/proc/self/fd/%d', 'wb')\\n print('written')\\nexcept OSError as e:\\n print(e.errno)"
    attack = f"{then}; os.execv('/usr/bin/python3', ['p', '-c', '{write}' % fd])"
    files = launching.root / "files"
    files.mkdir()
    script = files / "script"
    script.write_text("#!/proc/self/exe\n" + attack + "\n")
    script.chmod(0o755)
    argv = ("/proc/self/exe", "-c", attack) if way == "command" else ("/work/script",)

    record, output = launching.run(*argv, sandbox=host_sandbox(files_dir=str(files)))

    assert "written" not in output
    assert record.reason in ("ContainerCannotRun", "Error", "Completed")
    assert (program.stat().st_mtime_ns, hashlib.sha256(program.read_bytes()).hexdigest()) == before


@pytest.mark.parametrize("fd", [0, 3, 4, 5, 7, 8, 9, 12])
def test_no_working_directory_is_reached_through_a_descriptor(launching, fd):
    """CVE-2024-21626: a working directory that is a descriptor of the runtime's, open on the host."""
    record, output = launching.run("pwd", cwd=f"/proc/self/fd/{fd}")

    assert record.reason == "ContainerCannotRun"
    assert output == ""
    assert f"cannot enter the working directory /proc/self/fd/{fd}" in record.message


@pytest.mark.parametrize("fd", [3, 4, 7, 8])
def test_no_command_is_reached_through_a_descriptor(launching, fd):
    """CVE-2024-21626: a command reached from a descriptor of the runtime's."""
    record, _ = launching.run(f"/proc/self/fd/{fd}/../../../bin/sh", "-c", "echo out")

    assert (record.reason, record.exit_code in (126, 127)) == ("ContainerCannotRun", True)


def test_a_job_cannot_trace_its_supervisor_or_reach_what_it_holds(launching):
    """CVE-2016-9962 and CVE-2016-8659: a process of the runtime's in the sandbox, with the host's files open."""
    seen = asked(
        launching,
        """
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
print(call(101, PTRACE_ATTACH, 1, 0, 0), call(101, PTRACE_SEIZE, 1, 0, 0))
for name in ("exe", "cwd", "root", "fd", "mem", "maps", "environ", "ns/mnt", "task/1/mem"):
    print(refused(os.open, f"/proc/1/{name}", os.O_RDONLY))
fd = os.pidfd_open(1)
print(call(438, fd, 0, 0))  # pidfd_getfd
print(call(310, 1, None, 0, None, 0, 0))  # process_vm_readv
""",
    )

    assert len(seen) == 13
    assert set(seen) <= REFUSED | {"EPERM", "ESRCH"}


def test_words_of_the_command_are_never_options_of_ours(launching):
    """CVE-2024-32462: a command that begins with the sandbox's own options."""
    record, _ = launching.run("--bind", "/", "/host", "sh")

    assert (record.reason, record.exit_code) == ("ContainerCannotRun", 127)
    assert "cannot run --bind" in record.message


# Mounts


@pytest.mark.parametrize("target", ["/proc", "/proc/sys", "/proc/self/attr", "/dev", "/dev/null", "/dev/pts", "/"])
def test_nothing_is_mounted_where_the_sandbox_is_ours(launching, target):
    """CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2025-52881: a false /proc; CVE-2025-31133: a false null."""
    tree = launching.root / "tree"
    (tree / "self" / "attr").mkdir(parents=True)
    sandbox = host_sandbox(binds=(*host_sandbox().binds, Bind(str(tree), target)))

    record, _ = launching.run("true", sandbox=sandbox)

    assert record.reason == "SandboxFailed"
    assert record.exit_code is None


def test_what_is_masked_stays_masked_when_dev_null_is_gone(launching):
    """CVE-2025-31133, CVE-2025-52565: masks made of a /dev/null that the job has replaced."""
    seen = asked(
        launching,
        """
print(refused(os.unlink, "/dev/null"), refused(os.rename, "/dev/null", "/dev/other"))
print(refused(os.symlink, "/proc/sysrq-trigger", "/dev/console"))
print(os.path.exists("/dev/console"))
for name in ("kcore", "keys", "timer_list", "sysrq-trigger", "kmsg"):
    if os.path.exists(f"/proc/{name}"):
        print(os.stat(f"/proc/{name}").st_rdev == 0, open(f"/proc/{name}", "rb").read(1))
        print(refused(os.open, f"/proc/{name}", os.O_WRONLY) in ("EROFS", "EACCES", "EPERM"), b"")
""",
    )

    assert set(seen[:3]) <= {"EROFS", "EACCES", "EPERM"}
    assert seen[3] == "False"
    assert seen[4:]
    assert set(seen[4:]) == {"True", "b''"}


def test_a_source_that_is_exchanged_all_the_while_never_shows_the_host(launching):
    """CVE-2021-30465, CVE-2021-25741, CVE-2017-1002101, CVE-2024-1753: a directory or a link, by turns."""
    tree, secret = launching.root / "tree", launching.root / "secret"
    (tree / "data").mkdir(parents=True)
    (tree / "data" / "inside").touch()
    secret.mkdir()
    (secret / "outside").touch()
    (tree / "link").symlink_to(secret)
    exchange = (
        "import ctypes,sys\nlibc=ctypes.CDLL(None)\n"
        "a,b=(p.encode() for p in sys.argv[1:])\nprint(flush=True)\n"
        "while True: libc.renameat2(-100,a,-100,b,2)"
    )
    exchanger = subprocess.Popen(
        [sys.executable, "-c", exchange, str(tree / "data"), str(tree / "link")], stdout=subprocess.PIPE
    )
    exchanger.stdout.readline()
    sandbox = host_sandbox(binds=(*host_sandbox().binds, Bind("data", "/opt/data", within=str(tree))))
    try:
        ends = [launching.run("ls", "/opt/data", sandbox=sandbox) for _ in range(25)]
    finally:
        exchanger.kill()
        exchanger.wait()
        exchanger.stdout.close()

    assert {output for _, output in ends} <= {"inside\n", ""}
    assert {record.reason for record, _ in ends} <= {"Completed", "SandboxFailed"}


def test_no_place_is_made_outside_for_a_mount_behind_a_link(launching):
    """CVE-2024-45310, CVE-2019-18837: making the place of a mount makes files or directories on the host."""
    tree, outside = launching.root / "tree", launching.root / "outside"
    (tree / "usr").mkdir(parents=True)
    outside.mkdir()
    (tree / "usr" / "way").symlink_to(outside)
    more = (
        Bind(str(tree), "/opt/tree"),
        Bind("/usr/share", "/opt/tree/usr/way/new/directory"),
        Bind("/etc/hostname", "/opt/tree/usr/way/file"),
    )

    record, _ = launching.run("true", sandbox=host_sandbox(binds=(*host_sandbox().binds, *more)))

    assert record.reason == "SandboxFailed"
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("place", ["proc", "proc/sys", "proc/new", "dev", "dev/pts", "dev/null", "dev/new", "tmp"])
def test_no_link_of_a_tree_leads_a_mount_to_where_the_sandbox_is_ours(launching, place):
    """CVE-2019-19921, CVE-2023-27561, CVE-2023-28642, CVE-2025-52565: a link in the place of /proc, or on the way to it."""
    tree = launching.root / "tree"
    (tree / "share").mkdir(parents=True)
    (tree / "share" / "way").symlink_to("/")
    (tree / "fake").mkdir()
    (tree / "file").write_text("")
    source = "file" if place == "dev/null" else "fake"
    binds = (
        *host_sandbox().binds,
        Bind("share", "/opt/share", within=str(tree)),
        Bind(source, f"/opt/share/way/{place}", within=str(tree)),
    )

    record, _ = launching.run("true", sandbox=host_sandbox(binds=binds))

    assert record.reason == "SandboxFailed"
    assert f"a link on the way to /opt/share/way/{place} leads to /" in record.message


def test_an_account_file_of_ours_is_never_written_through_a_link(launching):
    """CVE-2024-9676 and its kin: /etc/passwd of the tree is a link, and the runtime opens or writes it."""
    tree, victim = launching.root / "tree", launching.root / "victim"
    (tree / "etc").mkdir(parents=True)
    victim.write_text("as it was\n")
    for name in ("passwd", "group", "hosts"):
        (tree / "etc" / name).symlink_to(victim)
    binds = (*host_sandbox().binds, Bind("etc", "/opt/etc", within=str(tree)))
    sandbox = host_sandbox(
        binds=binds, symlinks=(*host_sandbox().symlinks, ("/var", "/opt")), etc_files=(EtcFile("/etc/motd", "hi\n"),)
    )

    _, output = launching.shell("cat /opt/etc/passwd /opt/etc/hosts; cat /etc/motd", sandbox=sandbox)

    assert output == "hi\n"
    assert victim.read_text() == "as it was\n"


def test_the_new_mount_calls_are_refused_like_the_old(launching):
    """CVE-2021-41133 and CVE-2022-0185: fsconfig and its kin were forgotten by the filter."""
    seen = asked(
        launching,
        """
numbers = (165, 166, 155, 428, 429, 430, 431, 432, 433, 442, 467)
for number in numbers if os.uname().machine == "x86_64" else (40, 39, 41, *numbers[3:]):
    print(call(number, 0, 0, 0, 0, 0))
""",
    )

    assert len(seen) == 11
    assert set(seen) <= {"EPERM", "ENOSYS"}


# Namespaces, cgroups, the kernel's own ways to start programs


@pytest.mark.parametrize("flag", [0x10000000, 0x00020000, 0x20000000, 0x40000000, 0x02000000, 0x00000080])
def test_no_namespace_can_be_made(launching, flag):
    """CVE-2022-0492, CVE-2021-3493, CVE-2023-0386, CVE-2022-0185: rights come from a user namespace of one's own."""
    seen = asked(
        launching,
        f"""
x86 = os.uname().machine == "x86_64"
print(call(272 if x86 else 97, {flag}))
print(call(56 if x86 else 220, {flag} | 17, 0, 0, 0, 0) if {flag} != 0x80 else "EPERM")
print(call(435, (ctypes.c_uint64 * 8)({flag}), 64))
""",
    )

    assert seen[:2] == ["EPERM", "EPERM"]
    assert seen[2] == "ENOSYS"


def test_no_cgroup_can_be_mounted_written_or_told_what_to_run(launching):
    """CVE-2022-0492 and CVE-2023-25809: release_agent of a hierarchy that the job mounts or finds writable."""
    seen = asked(
        launching,
        """
os.mkdir("/tmp/cgroup")
for kind in (b"cgroup", b"cgroup2"):
    libc.mount.restype = ctypes.c_int
    done = libc.mount(b"none", b"/tmp/cgroup", kind, 0, b"memory" if kind == b"cgroup" else None)
    print(done, errno.errorcode[ctypes.get_errno()])
mounts = open("/proc/self/mountinfo").read()
print(" - cgroup" in mounts, os.path.exists("/sys/fs/cgroup"))
""",
    )

    assert seen == ["-1", "EPERM", "-1", "EPERM", "False", "False"]


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/sys/kernel/hotplug",
        "/proc/sys/fs/binfmt_misc/register",
        "/sys/kernel/uevent_helper",
        "/proc/sys/vm/panic_on_oom",
        "/proc/self/oom_score_adj",
        "/proc/1/oom_score_adj",
    ],
)
def test_nothing_that_the_kernel_starts_or_does_can_be_set(launching, path):
    """Programs that the kernel runs as the host's root, and switches of the whole host."""
    value = "-1000" if path.endswith("oom_score_adj") else "|/work/evil"
    code = f"print(refused(lambda: os.write(os.open({path!r}, os.O_WRONLY), {value.encode()!r})))"
    seen = asked(launching, code)

    assert seen[0] in REFUSED


def test_files_cannot_be_opened_by_their_handle(launching):
    """Shocker: open_by_handle_at walks the file system that a bind mount is part of, above the mount."""
    seen = asked(
        launching,
        """
handle = ctypes.create_string_buffer(struct.pack("<IiQ", 8, 1, 2) + bytes(16))
fd = os.open("/usr", os.O_RDONLY)
print(call(304 if os.uname().machine == "x86_64" else 265, fd, handle, 0))
""",
    )

    assert seen == ["EPERM"]


# Terminals


def test_no_terminal_of_the_hosts_can_be_typed_into(launching):
    """CVE-2017-5226 (TIOCSTI) and CVE-2023-28100 (TIOCLINUX): input faked into the caller's terminal."""
    seen = asked(
        launching,
        """
import fcntl
print(refused(os.open, "/dev/tty", os.O_RDWR))
for fd in (0, 1, 2):
    print(refused(fcntl.ioctl, fd, 0x5412, b"x"), refused(fcntl.ioctl, fd, 0x541C, bytes([3])))
print(refused(os.open, "/dev/console", os.O_RDWR), refused(os.open, "/dev/tty1", os.O_RDWR))
master, slave = os.openpty()
print(os.ttyname(slave), len(os.listdir("/dev/pts")))
""",
    )

    assert set(seen[:9]) <= {"ENXIO", "ENOTTY", "EPERM", "ENOENT", "EACCES"}
    assert seen[9:] == ["/dev/pts/0", "2"]


# The network


def test_an_abstract_socket_of_the_hosts_is_not_there(launching):
    """CVE-2020-15257: abstract sockets belong to the network namespace, which was the host's."""
    name = f"runwright-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()

        seen = asked(
            launching,
            f"""
one = socket.socket(socket.AF_UNIX)
print(refused(one.connect, "\\0{name}"))
print({name!r} in open("/proc/net/unix").read())
""",
        )

    assert seen == ["ECONNREFUSED", "False"]


def test_a_server_on_the_hosts_loopback_is_not_there(launching):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        seen = asked(launching, f"print(refused(socket.socket().connect, ('127.0.0.1', {port})))")

    assert seen == ["ECONNREFUSED"]


def test_no_raw_or_packet_socket_and_no_firewall(launching):
    """CVE-2020-14386 (packet sockets), CVE-2021-22555 and CVE-2022-25636 (netfilter): no rights over any network."""
    seen = asked(
        launching,
        """
print(refused(lambda: socket.socket(17, 3, 0x300)), refused(lambda: socket.socket(2, 3, 1)))
print(refused(lambda: socket.socket(40, 1, 0)), refused(lambda: socket.socket(38, 5, 0)))
one = socket.socket()
print(refused(one.setsockopt, 0, 64, bytes(84)))
""",
    )

    assert len(seen) == 5
    assert set(seen) <= {"EPERM", "EACCES", "EAFNOSUPPORT", "ENOPROTOOPT"}


# Calls with a history


@pytest.mark.parametrize(
    "name, x86, arm, arguments",
    [
        ("keyctl", 250, 219, (0, -3, 1)),
        ("add_key", 248, 217, (0, 0, 0, 0, -3)),
        ("bpf", 321, 280, (5, 0, 0)),
        ("perf_event_open", 298, 241, (0, 0, -1, -1, 0)),
        ("userfaultfd", 323, 282, (0,)),
        ("io_uring_setup", 425, 425, (1, 0)),
        ("kexec_load", 246, 104, (0, 0, 0, 0)),
        ("finit_module", 313, 273, (0, 0, 0)),
        ("clock_settime", 227, 112, (0, 0)),
        ("setns", 308, 268, (0, 0)),
        ("pivot_root", 155, 41, (0, 0)),
        ("reboot", 169, 142, (0, 0, 0, 0)),
        ("fanotify_init", 300, 262, (0, 0)),
        ("swapon", 167, 224, (0, 0)),
        ("acct", 163, 89, (0,)),
        ("quotactl", 179, 60, (0, 0, 0, 0)),
        ("syslog", 103, 116, (3, 0, 0)),
    ],
)
def test_calls_that_no_job_needs_are_refused(launching, name, x86, arm, arguments):
    """Escapes through the kernel itself, such as CVE-2022-0995, CVE-2023-2598, CVE-2021-3490 and CVE-2016-0728."""
    seen = asked(launching, f"print(call({x86} if os.uname().machine == 'x86_64' else {arm}, *{arguments}))")

    assert seen[0] in ("EPERM", "ENOSYS"), name
