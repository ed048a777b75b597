"""Runs with more rights than the usual: exactly those that were asked for, and in their own user namespace only."""

from pathlib import Path

import pytest

from controller.sandbox.rights import GRANTABLE, Rights
from support.launching import host_sandbox

pytestmark = pytest.mark.needs_root
FIRST_FREE_PORT = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")

TRACE = (
    "import ctypes, os, signal\n"
    "libc = ctypes.CDLL(None, use_errno=True)\n"
    "pid = os.fork()\n"
    "if pid == 0:\n"
    "    if libc.ptrace(0, 0, 0, 0) == -1:\n"
    "        os._exit(7)\n"
    "    os.kill(os.getpid(), signal.SIGSTOP)\n"
    "_, status = os.waitpid(pid, 0)\n"
    "print('stopped' if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status))\n"
    "os.kill(pid, signal.SIGKILL) if os.WIFSTOPPED(status) else None\n"
)


def sets_of(output):
    fields = dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)
    return {name: int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}


@pytest.mark.parametrize(
    "names", [("CHOWN",), ("NET_BIND_SERVICE", "SETUID", "SETGID"), tuple(c.name for c in GRANTABLE)]
)
def test_a_run_has_the_capabilities_that_were_asked_for_and_no_others(launching, names):
    record, output = launching.run("cat", "/proc/self/status", rights=Rights(capabilities=names))

    mask = sum(1 << capability for capability in GRANTABLE if capability.name in names)
    assert sets_of(output) == {"CapInh": 0, "CapPrm": mask, "CapEff": mask, "CapBnd": mask, "CapAmb": 0}
    assert sorted(record.receipt["capabilities"]) == sorted(names)


def test_what_they_are_for_works_and_what_they_are_not_for_does_not(launching):
    script = (
        "touch /work/f && chown 33:33 /work/f && stat -c %u /work/f; chmod 0 /work/f; cat /work/f || echo closed;"
        "mknod /work/b b 8 0 || echo no device; chroot / true || echo no root; mount -t tmpfs none /tmp || echo no mount"
    )
    _, output = launching.shell(script, rights=Rights(capabilities=("CHOWN", "FOWNER")))

    assert output.split("\n")[:-1] == ["33", "closed", "no device", "no root", "no mount"]


@pytest.mark.parametrize(
    "rights",
    [Rights(), Rights("baseline"), Rights(capabilities=("NET_BIND_SERVICE",))],
    ids=["usual", "baseline", "cap"],
)
def test_low_ports_of_its_own_network_are_every_runs_and_those_of_the_host_stay_as_they_are(launching, rights):
    script = (
        "import socket\n"
        "socket.socket().bind(('127.0.0.1', 80))\n"
        "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).bind(('::1', 53))\n"
        "print('bound')\n"
    )
    before = FIRST_FREE_PORT.read_text()

    _, output = launching.run("/usr/bin/python3", "-c", script, rights=rights)

    assert (output, FIRST_FREE_PORT.read_text()) == ("bound\n", before)


def test_another_user_of_the_run_has_no_capabilities(launching):
    script = (
        "import os; os.setgroups([]); os.setgid(33); os.setuid(33); print(open('/proc/self/status').read());"
        "open('/tmp/f', 'w').close()"
    )
    rights = Rights(capabilities=("SETUID", "SETGID", "CHOWN"))
    record, output = launching.run("/usr/bin/python3", "-c", script, rights=rights)

    assert record.reason == "Completed"
    assert sets_of(output)["CapPrm"] == sets_of(output)["CapEff"] == 0


def test_every_capability_together_reaches_nobody_outside_and_not_the_supervisor(launching):
    script = (
        "import os, signal\n"
        "for attempt in (lambda: os.kill(1, signal.SIGKILL), lambda: open('/proc/sys/kernel/hostname', 'w'),\n"
        "                lambda: open('/usr/made', 'w'), lambda: open('/proc/1/environ').read(),\n"
        "                lambda: os.mknod('/tmp/sda', 0o60600, os.makedev(8, 0))):\n"
        "    try:\n"
        "        attempt()\n"
        "        print('done')\n"
        "    except OSError as error:\n"
        "        print(type(error).__name__)\n"
    )
    rights = Rights(capabilities=tuple(capability.name for capability in GRANTABLE))
    record, output = launching.run("/usr/bin/python3", "-c", script, rights=rights)

    # A process of a pid namespace cannot kill its first, whatever it may: the signal is sent and does nothing.
    assert output.splitlines()[1:] == ["OSError", "OSError", "FileNotFoundError", "PermissionError"]
    assert record.reason == "Completed"


def test_the_profile_baseline_lets_a_debugger_work_and_strict_does_not(launching):
    record, baseline = launching.run("/usr/bin/python3", "-c", TRACE, rights=Rights("baseline"))
    _, strict = launching.run("/usr/bin/python3", "-c", TRACE)

    assert baseline == "stopped\n"
    assert strict == "7\n"
    assert record.receipt["securityProfile"] == "baseline"


def test_the_profile_baseline_still_mounts_nothing_and_makes_no_namespace(launching):
    _, output = launching.shell(
        "mount -t tmpfs none /tmp || echo no; unshare -U true || echo no; cat /proc/self/status",
        rights=Rights("baseline"),
    )

    assert output.splitlines()[:2] == ["no", "no"]
    assert set(sets_of(output).values()) == {0}


def test_a_run_after_one_with_rights_has_the_usual_ones(launching):
    launching.run("true", rights=Rights("baseline", ("CHOWN",)))
    record, output = launching.run("cat", "/proc/self/status", sandbox=host_sandbox())

    assert set(sets_of(output).values()) == {0}
    assert (record.receipt["securityProfile"], record.receipt["capabilities"]) == ("strict", [])


def test_a_job_that_becomes_whoever_its_supervisor_is_cannot_take_its_record(launching):
    script = (
        "import os, resource\n"
        "os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_CPU, resource.RLIMIT_NOFILE):\n"
        "    try:\n"
        "        print(resource.prlimit(1, kind, (0, 0)))\n"
        "    except PermissionError:\n"
        "        print('refused')\n"
    )
    rights = Rights(capabilities=("SETUID", "SETGID"))
    record, output = launching.run("/usr/bin/python3", "-c", script, rights=rights)

    assert (record.reason, output) == ("Completed", "refused\n" * 3)
