"""What builds may do beyond jobs, and no more than that."""

from controller.launcher.slots import FIRST_ID as FIRST_OF_RUNS
from controller.linux.capabilities import Capability
from controller.runtime.build.sandbox_init import FIRST_ID, IDS, KEPT, POLICY
from controller.sandbox.seccomp import STRICT, Refuse

DANGEROUS = {
    Capability.DAC_READ_SEARCH, Capability.MKNOD, Capability.NET_ADMIN, Capability.NET_RAW, Capability.SETPCAP,
    Capability.SYS_ADMIN, Capability.SYS_BOOT, Capability.SYS_MODULE, Capability.SYS_PTRACE, Capability.SYS_RAWIO,
}  # fmt: skip


def test_builds_may_make_the_system_calls_of_jobs_and_chroot():
    assert POLICY.allowed - STRICT.allowed == {"chroot"}
    assert POLICY.absent == STRICT.absent


def test_of_all_calls_that_are_checked_only_flushes_are_said_to_be_done_that_are_not():
    changed = {
        name: POLICY.checked[name] for name in POLICY.checked if POLICY.checked[name] != STRICT.checked.get(name)
    }

    assert changed == dict.fromkeys(("fsync", "fdatasync", "sync", "syncfs"), (Refuse(0, ()),))
    assert STRICT.checked.keys() <= POLICY.checked.keys()


def test_no_capability_of_builds_reaches_beyond_files_users_and_processes():
    assert not KEPT & DANGEROUS
    assert len(KEPT) == 10


def test_the_ids_of_builds_are_no_runs():
    assert FIRST_ID + IDS <= FIRST_OF_RUNS
