import errno
import os
import socket

import pytest

from controller.linux import landlock, process
from controller.linux.landlock import Access, Scope
from support.in_child import in_child

pytestmark = [
    pytest.mark.elsewhere("a kernel with Landlock"),
    pytest.mark.skipif(landlock.abi() == 0, reason="this kernel has no Landlock"),
]
WRITES = Access.WRITE_FILE | Access.TRUNCATE | Access.MAKE_REG | Access.REMOVE_FILE
SCOPES = Scope.ABSTRACT_UNIX_SOCKET | Scope.SIGNAL


def errno_of(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return error.errno
    return 0


def held_to(allowed, body, access=WRITES):
    """Return what `body` returned in a process that may write in `allowed` only."""

    def restricted():
        ruleset = landlock.create()
        for place in allowed:
            fd = os.open(place, os.O_PATH)
            ruleset.allow(fd, access, directory=os.path.isdir(place))
            os.close(fd)
        process.no_new_privs()
        landlock.restrict(ruleset.fd)
        ruleset.close()
        return body()

    return in_child(restricted)


def test_files_can_be_written_where_it_is_allowed_and_nowhere_else(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "old").write_text("old")

    def body():
        (inside / "new").write_text("new")
        return [
            errno_of((outside / "new").write_text, "x"),
            errno_of((outside / "old").write_text, "x"),
            errno_of((outside / "old").unlink),
            errno_of((inside / "directory").mkdir),
            (outside / "old").read_text(),
        ]

    assert held_to([inside], body) == [errno.EACCES] * 4 + ["old"]


def test_a_single_file_can_be_allowed(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.touch()
    other.touch()

    assert held_to([one], lambda: [errno_of(one.write_text, "x"), errno_of(other.write_text, "x")]) == [0, errno.EACCES]


def test_devices_cannot_be_controlled_unless_that_is_allowed():
    asked = lambda: landlock.refuses_control_of("/dev/full")  # noqa: E731

    assert not in_child(asked)
    assert held_to([], asked) is (landlock.abi() >= landlock.IOCTL_ABI)
    assert held_to(["/dev"], asked, Access.IOCTL_DEV) is False


@pytest.mark.skipif(landlock.abi() < 6, reason="scopes are of Landlock's version 6")
def test_nobody_outside_can_be_signalled_or_met_at_an_abstract_socket():
    parent = os.getpid()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0runwright-test-{parent}")
        server.listen()

        def body():
            with socket.socket(socket.AF_UNIX) as client:
                return [errno_of(os.kill, parent, 0), errno_of(client.connect, f"\0runwright-test-{parent}")]

        def kept():
            process.no_new_privs()
            return landlock.keep_to_itself(SCOPES), body(), in_child(lambda: os.getpid()) > 0

        assert in_child(kept) == (True, [errno.EPERM] * 2, True)


def test_a_kernel_without_it_is_told_from_one_that_refuses():
    assert landlock.abi() >= 1
    with pytest.raises(OSError, match="cannot be held to a Landlock ruleset: E"):
        in_child_raising(lambda: landlock.restrict(-1))


def in_child_raising(body):
    """Raise here what `body` raises in a child."""

    def caught():
        try:
            return body()
        except OSError as error:
            return error

    result = in_child(caught)
    if isinstance(result, OSError):
        raise result
    return result
