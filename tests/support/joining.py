"""Going into runs of a test's launcher, and what comes out."""

import os

from controller.launcher.join_request import Deed, JoinRequest
from support.launching import WAIT_SECONDS, readable


def request_for(spec, started, *argv, **fields):
    """A request to execute `argv` in a run, by default with all its streams."""
    streams = () if fields.get("terminal") else ("stdin", "stdout", "stderr")
    given = {"deed": Deed.EXECUTE, "env": {"PATH": "/usr/bin:/bin"}, "cwd": "/work", "streams": streams, **fields}
    return JoinRequest(started.pid, started.start_time, spec.cgroup_parent, spec.cgroup, argv=argv, **given)


def read_all(fd):
    """What can be read until its end."""
    out = b""
    while chunk := read_some(fd):
        out += chunk
    return out


def read_some(fd):
    """What can be read next; nothing at the end, a terminal's too."""
    assert readable(fd, WAIT_SECONDS)
    try:
        return os.read(fd, 1 << 16)
    except OSError:
        return b""


def read_until(fd, text):
    """What is read until `text` was."""
    out = b""
    while text not in out:
        chunk = read_some(fd)
        assert chunk, out
        out += chunk
    return out


def write_all(fd, content):
    """Write to a descriptor that does not block."""
    left = memoryview(content)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:
            os.set_blocking(fd, True)


class Held:
    """A run that goes on until the test's end, and whoever goes into it."""

    def __init__(self, launching, *argv, **fields):
        self.launching = launching
        self.spec = launching.spec(*(argv or ("sleep", "1000")), **fields)
        self.started = launching.client.start(self.spec)

    def join(self, *argv, **fields):
        return self.launching.client.join(request_for(self.spec, self.started, *argv, **fields))

    def output(self, *argv, stdin=b"", **fields):
        """Execute to the end; return the exit code and what was printed, errors after output."""
        with self.join(*argv, **fields) as session:
            if session.stderr is not None:
                write_all(session.stdin, stdin)
                session.close_stdin()
            out = read_all(session.stdout) if session.stdout is not None else b""
            err = read_all(session.stderr) if session.stderr is not None else b""
            return session.wait(WAIT_SECONDS), (out + err).decode(errors="surrogateescape")

    def end(self):
        self.launching.stop(self.spec)
        return self.launching.record_of(self.spec)
