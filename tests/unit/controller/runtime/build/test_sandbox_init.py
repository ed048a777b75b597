"""What builds may do beyond jobs, and no more than that."""

from controller.launcher.slots import FIRST_ID as FIRST_OF_RUNS
from controller.linux.capabilities import Capability
from controller.runtime.build.sandbox_init import FIRST_ID, IDS, KEPT, POLICY
from controller.sandbox.seccomp import STRICT

DANGEROUS = {
    Capability.DAC_READ_SEARCH, Capability.MKNOD, Capability.NET_ADMIN, Capability.NET_RAW, Capability.SETPCAP,
    Capability.SYS_ADMIN, Capability.SYS_BOOT, Capability.SYS_MODULE, Capability.SYS_PTRACE, Capability.SYS_RAWIO,
}  # fmt: skip


def test_builds_may_make_the_system_calls_of_jobs_and_chroot():
    assert POLICY.allowed - STRICT.allowed == {"chroot"}
    assert (POLICY.checked, POLICY.absent) == (STRICT.checked, STRICT.absent)


def test_no_capability_of_builds_reaches_beyond_files_users_and_processes():
    assert not KEPT & DANGEROUS
    assert len(KEPT) == 10


def test_the_ids_of_builds_are_no_runs():
    assert FIRST_ID + IDS <= FIRST_OF_RUNS
