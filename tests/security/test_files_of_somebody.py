"""A directory of the host that a run may write to, as somebody of the host: no program there lends that one's rights.

A mount without setuid keeps the run from using such a program, and not those who find it on the host.
"""

import os
import stat

import pytest

from controller.sandbox.spec import VolumeBind
from support.joining import Held
from support.launching import host_sandbox

pytestmark = [pytest.mark.needs_root, pytest.mark.elsewhere("a host with /usr/bin/python3")]

OWNER = 4711
EVERY_WAY = """
import ctypes, errno, os, platform, stat
os.umask(0)
libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == "x86_64"
def errno_of(do, *arguments):
    try:
        do(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
def call(number, *arguments):
    given = [ctypes.c_char_p(a.encode()) if isinstance(a, str) else ctypes.c_long(a) for a in arguments]
    if libc.syscall(ctypes.c_long(number), *given) < 0:
        raise OSError(ctypes.get_errno(), "")
os.close(os.open("/v/f", os.O_CREAT | os.O_WRONLY, 0o755))
fd = os.open("/v/f", os.O_RDONLY)
how = (ctypes.c_uint64 * 3)(os.O_CREAT | os.O_WRONLY, 0o4755, 0)
for bit in (stat.S_ISUID, stat.S_ISGID):
    name = f"/v/{bit:o}"
    mode = bit | 0o755
    print(
        errno_of(os.chmod, "/v/f", mode),
        errno_of(os.fchmod, fd, mode),
        errno_of(call, 268 if x86 else 53, -100, "/v/f", mode),
        errno_of(call, 452, -100, "/v/f", mode, 0),
        errno_of(os.open, name + "o", os.O_CREAT | os.O_WRONLY, mode),
        errno_of(os.open, "/v", os.O_TMPFILE | os.O_WRONLY, mode),
        errno_of(os.mknod, name + "n", stat.S_IFREG | mode),
        errno_of(call, 437, -100, name + "2", ctypes.addressof(how), 24),
        *((errno_of(call, 85, name + "c", mode), errno_of(call, 2, name + "p", 0o101, mode), errno_of(call, 133, name + "m", stat.S_IFREG | mode, 0)) if x86 else ()),
    )
print(errno_of(os.chmod, "/v/f", 0o1777), errno_of(os.open, "/v/f", os.O_RDONLY, 0o6777), oct(os.stat("/v/f").st_mode))
"""
REFUSED = ["EPERM"] * 7 + ["ENOSYS"]


@pytest.fixture
def place(tmp_path):
    """A directory of the host that is somebody's; nothing on the way to it may be opened by everybody."""
    path = tmp_path / "shared"
    path.mkdir()
    os.chown(path, OWNER, OWNER)
    return path


def sandbox_with(path, **fields):
    return host_sandbox(volumes=(VolumeBind(str(path), "/v", host_uid=OWNER, host_gid=OWNER, ids=1, **fields),))


def set_ids_below(path):
    return [each.name for each in path.iterdir() if each.lstat().st_mode & (stat.S_ISUID | stat.S_ISGID)]


def judge(lines, path):
    *answers, last = [line.split() for line in lines]
    assert [answer[: len(REFUSED)] for answer in answers] == [REFUSED] * 2
    assert {word for answer in answers for word in answer[len(REFUSED) :]} <= {"EPERM"}
    assert last == ["done", "done", "0o101777"]
    assert set_ids_below(path) == []
    assert (path / "f").stat().st_uid == OWNER


def test_a_run_that_writes_as_somebody_of_the_host_makes_nothing_setuid_or_setgid(launching, place):
    record, output = launching.run("/usr/bin/python3", "-c", EVERY_WAY, sandbox=sandbox_with(place))

    assert record.reason == "Completed", output
    judge(output.splitlines(), place)


def test_nor_does_who_goes_into_it(launching, place):
    held = Held(launching, sandbox=sandbox_with(place))

    code, output = held.output("/usr/bin/python3", "-c", EVERY_WAY)

    assert code == 0, output
    judge(output.splitlines(), place)


def test_runs_that_write_as_nobody_may_set_these_bits_as_ever(launching, place):
    script = "cp /usr/bin/env /work/e && chmod 6755 /work/e && stat -c %a /work/e"
    only_read = sandbox_with(place, read_only=True)

    answers = [launching.shell(script, sandbox=sandbox)[1] for sandbox in (host_sandbox(), only_read)]
    assert answers == ["6755\n"] * 2


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/proc/self/exe", "ContainerCannotRun"),
        ("/v/by-proc", "ContainerCannotRun"),
        ("/v/circle", "ContainerCannotRun"),
        ("/v/link-of-proc", "ContainerCannotRun"),
        ("/v/missing", "ContainerCannotRun"),
        ("/v/script", "Completed"),
        ("/v/link", "Completed"),
        ("../v/link", "Completed"),
    ],
)
def test_its_command_is_no_link_of_proc_either(launching, place, command, reason):
    for name, text in {"by-proc": "#!/proc/self/exe\n", "script": "#!/v/link true\n"}.items():
        (place / name).write_text(text)
        (place / name).chmod(0o755)
    for name, target in {
        "circle": "circle",
        "link-of-proc": "/proc/self/exe",
        "link": "../v/./other",
        "other": "/usr/bin/env",
    }.items():
        (place / name).symlink_to(target)

    record, output = launching.run(command, sandbox=sandbox_with(place))

    assert record.reason == reason, (record.message, output)
