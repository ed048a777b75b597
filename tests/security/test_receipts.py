"""What a run's record says it was held to, beside what the job itself sees; and runs that the kernel contradicts."""

import os
import shutil
from dataclasses import replace

import pytest

from controller.cgroup.limits import Limits
from controller.launcher import job_process, receipt
from controller.launcher.crew import Crew
from controller.launcher.receipt import NotEnforced, Surroundings
from controller.launcher.slots import SlotPool
from controller.linux import landlock, namespaces, process
from controller.linux.namespaces import LinuxNamespace
from controller.sandbox import seccomp
from controller.sandbox.rights import Rights
from controller.sandbox.spec import Bind
from support.in_child import in_child
from support.launching import MIB, host_sandbox

pytestmark = pytest.mark.needs_root
MACHINE = os.uname().machine
NAMES = [name for name in receipt.NAMESPACES if os.path.exists(f"/proc/self/ns/{name}")]


def test_the_receipt_says_what_the_job_sees(launching):
    script = f"cat /proc/self/uid_map; stat -L -c %i {' '.join(f'/proc/self/ns/{name}' for name in NAMES)}"
    record, output = launching.shell(script, limits=Limits(64 * MIB, 500, 20))
    told = record.receipt

    uid_map, *inodes = output.splitlines()
    assert list(map(int, uid_map.split())) == told["uidMap"] == told["gidMap"]
    assert told["namespaces"] == dict(zip(NAMES, map(int, inodes), strict=True))
    assert (told["capabilities"], told["noNewPrivs"], told["seccompMode"], told["seccompFilters"]) == ([], True, 2, 1)
    assert set(told["capabilitySets"].values()) == {"0" * 16}
    assert (told["securityProfile"], told["landlockAbi"]) == ("strict", landlock.abi())


def test_the_receipt_has_every_mount_that_the_job_sees_with_its_flags(launching):
    record, output = launching.run("cat", "/proc/self/mountinfo")

    told = {place: flags for flags, places in record.receipt["mounts"].items() for place in places}
    assert told == receipt.judge_mounts(output, {"/work", "/tmp", "/dev/shm"})
    assert told["/"] == "ro,nosuid,nodev"
    assert told["/work"] == "rw,nosuid,nodev"


@pytest.mark.parametrize("blank", ["\r", "\v", "\x1f", "\xa0", "\u3000", " "])
@pytest.mark.invariant("X6")
def test_a_mount_whose_place_has_a_blank_is_judged_and_in_the_receipt(launching, tmp_path, blank):
    bind = Bind(str(tmp_path), f"/opt/a{blank}b")
    record, _ = launching.run("true", sandbox=host_sandbox(binds=(*host_sandbox().binds, bind)))

    told = {place: flags for flags, places in record.receipt["mounts"].items() for place in places}
    assert told[bind.target] == "ro,nosuid,nodev"


def test_the_receipt_is_the_same_for_a_sandbox_that_was_made_ahead(launching):
    first, _ = launching.run("true")
    launching.until(lambda: launching.client.status()["made"] > 0)
    ahead, output = launching.run("cat", "/proc/self/mountinfo")

    assert ahead.receipt["mounts"] == first.receipt["mounts"]
    assert (
        receipt.by_flags(receipt.judge_mounts(output, {"/work", "/tmp", "/dev/shm"})).keys()
        == first.receipt["mounts"].keys()
    )


def test_the_receipt_has_what_the_cgroups_files_say(launching):
    record, _ = launching.run("true", limits=Limits(64 * MIB, 500, 20))

    says = record.receipt["cgroup"]
    assert says["pids.max"] == "20"
    assert says.get("memory.limit_in_bytes", says.get("memory.max")) == str(64 * MIB)
    assert says.get("cpu.cfs_quota_us", says.get("cpu.max", "").split(" ")[0]) == "50000"


def test_a_run_that_did_not_begin_has_no_receipt(launching):
    record, _ = launching.run("true", sandbox=host_sandbox(work_bytes=0))

    assert (record.reason, record.receipt) == ("SandboxFailed", {})


def crew_of_a_run(body, *, surroundings=None, program=None):
    """Return what `body` makes of a crew, in a process that would be its run's supervisor."""
    staging = f"/var/tmp/runwright-test-{os.getpid()}"
    os.mkdir(staging)
    around = surroundings or Surroundings.look()

    def as_supervisor():
        host_mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        crew = Crew(
            SlotPool().take(),
            staging,
            program or seccomp.default_program(MACHINE),
            host_mounts,
            0,
            around,
        )
        return body(crew)

    def in_pid_namespace():
        namespaces.unshare(LinuxNamespace.PID)
        return in_child(as_supervisor)

    try:
        return in_child(in_pid_namespace)
    finally:
        shutil.rmtree(staging)


def judged(crew):
    """Go as far as a supervisor does before it lets the job execute anything; return what it says of it."""
    job_process.give_cgroup(crew.orders, (os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC),))
    try:
        crew.make_the_rest(host_sandbox())
        crew.judge()
    except NotEnforced as error:
        return str(error)
    return crew.held_to()


def test_a_crew_that_is_held_to_everything_may_begin():
    assert crew_of_a_run(judged)["seccompMode"] == 2


@pytest.mark.invariant("X6")
def test_a_filter_more_than_was_loaded_begins_nothing():
    def filtered_before():
        look = Surroundings.look()
        process.no_new_privs()
        process.load_seccomp(seccomp.compile_policy(ALL_ALLOWED, MACHINE))
        return crew_of_a_run(judged, surroundings=look)

    assert in_child(filtered_before) == "cannot begin the run: the kernel says Seccomp_filters is 2, not 1"


ALL_ALLOWED = seccomp.Policy(
    allowed=frozenset(name for machine in (MACHINE,) for name in seccomp.syscalls.numbers(machine)),
    checked={},
    absent=frozenset(),
)


@pytest.mark.invariant("X6")
def test_a_mount_that_somebody_makes_writable_begins_nothing():
    """Whoever does it, and however: what the kernel says last is what counts."""

    def with_a_hole(crew):
        make = crew.builder.carry_out

        def carry_out(ops):
            make(ops)
            _make_writable("/usr")

        crew.builder.carry_out = carry_out
        return judged(crew)

    said = crew_of_a_run(with_a_hole)
    assert said.startswith("cannot begin the run: the kernel says of its mounts: /usr is rw,")


def _make_writable(path):
    from controller.linux import libc

    libc.syscall(
        "mount_setattr",
        -100,
        path.encode(),
        0,
        (0).to_bytes(8, "little") + (1).to_bytes(8, "little") + bytes(16),
        32,
        purpose="open a hole",
    )


@pytest.mark.invariant("X6")
def test_a_namespace_that_is_the_hosts_begins_nothing():
    def with_its_own_network_for_the_hosts(crew):
        inode = os.stat("/proc/self/ns/net").st_ino
        crew._surroundings = replace(crew._surroundings, namespaces={**crew._surroundings.namespaces, "net": inode})
        return judged(crew)

    assert (
        crew_of_a_run(with_its_own_network_for_the_hosts)
        == "cannot begin the run: the kernel says its net namespace is the host's"
    )


def test_a_run_that_needs_landlock_has_it_or_does_not_begin(launching):
    record, _ = launching.run("true", rights=Rights(needs_landlock=True))

    assert record.reason == ("Completed" if landlock.abi() else "SandboxFailed")


def test_a_job_that_talks_to_its_supervisor_says_nothing_that_counts(launching):
    """What was told before the exec is all that is read: the socket ends with it."""
    record, output = launching.shell("ls /proc/$$/fd")

    assert output.split() == ["0", "1", "2"]
    assert record.receipt["seccompMode"] == 2
