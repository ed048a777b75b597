"""Going through what a run will need, on a run that is none, before anybody waits for a real one.

The first use of anything after a fork costs a copy of the memory page it is in, some 3 µs; a launch
had 300 of them. Invariant: nothing is left of it, and nothing of it is outside the sandbox's own root.
"""

import contextlib
import os
import socket
from functools import cache

from controller.cgroup.limits import Limits
from controller.launcher import blank, job_process, limits_told, outcome, protocol, receipt, recording, runspec
from controller.launcher.instants import utc_text
from controller.launcher.job_process import Command
from controller.launcher.log_writer import STDOUT, LogWriter
from controller.launcher.protocol import Decoder
from controller.launcher.receipt import NotEnforced, Surroundings, Wanted
from controller.launcher.recording import ExitFile
from controller.launcher.records import Claim, ExitRecord
from controller.launcher.runspec import Parts, RunSpec
from controller.linux import mount_api, namespaces
from controller.linux.mount_api import MountAttribute
from controller.linux.namespaces import LinuxNamespace
from controller.sandbox.compile import compile_base, compile_sandbox
from controller.sandbox.interpret import Builder
from controller.sandbox.ops import BeginTime
from controller.sandbox.spec import Bind, HostIds, SandboxSpec

_PLACE = "/rehearsal"
_ANY_KIND = LinuxNamespace(0)
_BINDS = (Bind("/dev", "/usr"), Bind("/dev/pts", "/opt/a"), Bind("/dev/null", "/etc/a"), Bind("/dev/zero", "/etc/b"))
_SANDBOX = SandboxSpec("rehearsal", binds=_BINDS, symlinks=(("/bin", "usr/bin"), ("/lib", "usr/lib")))
_STAMP = utc_text(0)
_RECORD = ExitRecord("none", "", "", 0, None, _STAMP, _STAMP)


def think() -> None:
    """Go through what is done in memory alone; anywhere."""
    parts = _parts()
    (message,) = Decoder().feed(_order())
    if message.get(protocol.ATTACHED) == (parts.own, parts.shared):
        spec = runspec.read_own(parts.own, runspec.read_shared(parts.shared))
        compile_sandbox(spec.sandbox, HostIds(0, 0))
        limits_told.told(spec, 1, "core")
    recording.claim_content(Claim("none", "", 0, 0, utc_text(0), ""))


@cache
def _parts() -> Parts:
    # Once, by the launcher: no supervisor writes what it reads.
    nothing = Limits(None, None, None)
    return runspec.to_parts(RunSpec("none", "/", "/", ("none",), _SANDBOX, nothing, "none", "none", env={"PATH": "/"}))


@cache
def _order() -> bytes:
    parts = _parts()
    return protocol.encode({"op": "run"}, parts.own, parts.shared)


def act(host_ids: HostIds) -> None:
    """Make a sandbox and a run's files inside the sandbox that this process is in, and remove them.

    Raises:
        SandboxError, OSError: so would be the real ones.
    """
    os.mkdir(_PLACE)
    options = {"size": "1048576", "mode": "755"}
    with mount_api.new_filesystem("tmpfs", options, MountAttribute.NOSUID | MountAttribute.NODEV) as tree:
        mount_api.attach(tree, _PLACE)
    _make_a_sandbox(host_ids)
    _leave_records()
    _judge()
    mount_api.unmount(_PLACE, lazy=True)
    os.rmdir(_PLACE)


def aside(staging: str) -> None:
    """Do as `act` in a process that is to stay where it is: in namespaces that are gone when this returns.

    For the launcher: what was done a few times by whoever is forked, is done faster, and written to less.

    Raises:
        SandboxError, OSError: so would be the real ones.
    """
    home = [os.open(f"/proc/self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("mnt", "net", "ipc", "uts")]
    nobody = HostIds(0, 0)
    builder = Builder()
    try:
        # But for its clocks: those are of processes forked later, and it would take another step to have the host's.
        builder.carry_out([op for op in compile_base(nobody, staging) if not isinstance(op, BeginTime)])
        act(nobody)
        builder.close()
        job_process.rehearse(b"")
    finally:
        for fd in home:
            namespaces.enter(fd, _ANY_KIND)
            os.close(fd)


def _judge() -> None:
    seen = receipt.parse(receipt.tell_early() + receipt.tell_late())
    with contextlib.suppress(NotEnforced):  # It is not a job's process that was read.
        receipt.judge(seen, Wanted(0, 1, Surroundings({}, 0)))
    receipt.as_plain(seen, 0)
    receipt.by_flags(receipt.flags_of(("/",)))


def _make_a_sandbox(host_ids: HostIds) -> None:
    builder = Builder(os.open(_PLACE, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    *ops, _seal = compile_sandbox(_SANDBOX, host_ids)
    builder.take_sources(ops)
    builder.carry_out(ops)
    builder.close()


def _leave_records() -> None:
    directory_fd = os.open(f"{_PLACE}/work", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    made = f"{_PLACE}/work"
    claim_fd = recording.place_claim(directory_fd, Claim("none", "", 0, 0, _STAMP, ""), blank.make(made))
    if claim_fd is not None:
        os.close(claim_fd)
    log = LogWriter(directory_fd, 1 << 20, 2, lambda: 0, blank.make(made, append=True))
    log.write(STDOUT, b"a line\n")
    log.finish()
    exit_fd = blank.make(made)
    if exit_fd is not None:
        recording.reserve(exit_fd)
    exit_file = ExitFile(directory_fd, exit_fd)
    exit_file.tell({})
    exit_file.write(_RECORD)
    exit_file.flush()
    os.close(directory_fd)
    one, other = socket.socketpair()
    with one, other:
        job_process.give_cgroup(one, (os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC),))
        job_process.give_command(one, Command(("none",), {}, "/"), None)
    report_fd, other_end = os.pipe2(os.O_CLOEXEC)
    os.close(other_end)
    outcome.decide(0, None, 0, job_process.read_report(report_fd))
