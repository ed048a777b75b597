import pytest

from controller.linux.capabilities import Capability
from controller.sandbox.rights import GRANTABLE, Rights

_REACH_OUT = {
    "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "SYS_RAWIO", "SYS_BOOT", "SYS_TIME", "SYS_NICE", "SYS_RESOURCE", "NET_ADMIN",
    "NET_RAW", "DAC_READ_SEARCH", "MAC_ADMIN", "MAC_OVERRIDE", "BPF", "PERFMON", "CHECKPOINT_RESTORE", "SYSLOG",
    "AUDIT_CONTROL", "AUDIT_READ", "SYS_PACCT", "SYS_TTY_CONFIG", "WAKE_ALARM", "BLOCK_SUSPEND", "IPC_LOCK", "IPC_OWNER",
}  # fmt: skip


def test_the_usual_rights_are_none():
    assert (Rights().are_usual, Rights().kept, Rights().profile) == (True, frozenset(), "strict")


def test_what_is_asked_for_is_kept_and_is_not_usual():
    rights = Rights(capabilities=("CHOWN", "KILL"))

    assert rights.kept == {Capability.CHOWN, Capability.KILL}
    assert not rights.are_usual
    assert not Rights("baseline").are_usual


def test_no_capability_that_reaches_out_of_a_user_namespace_can_be_had():
    assert not _REACH_OUT & {capability.name for capability in GRANTABLE}
    for name in _REACH_OUT:
        with pytest.raises(ValueError, match=f"cannot give a run the capability {name}: there are"):
            Rights(capabilities=(name,))


def test_a_profile_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="cannot give a run the profile 'loose': there are strict, baseline"):
        Rights("loose")
