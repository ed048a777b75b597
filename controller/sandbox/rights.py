"""What a run may do beyond what every run may, as data: its profile of system calls, and capabilities. Pure.

Here: which there are. Never here: who may ask for them, which is the host's policy and not the sandbox's.
Invariant: no capability is in the list that reaches out of the run's own user namespace.
"""

from dataclasses import dataclass

from controller.linux.capabilities import Capability
from controller.sandbox.seccomp import PROFILES

GRANTABLE = (
    Capability.AUDIT_WRITE,
    Capability.CHOWN,
    Capability.DAC_OVERRIDE,
    Capability.FOWNER,
    Capability.FSETID,
    Capability.KILL,
    Capability.MKNOD,
    Capability.NET_BIND_SERVICE,
    Capability.SETFCAP,
    Capability.SETGID,
    Capability.SETPCAP,
    Capability.SETUID,
    Capability.SYS_CHROOT,
)
"""Those that a run may have. Source: what Kubernetes' Pod Security Standards allow a "baseline" pod to add."""

_BY_NAME = {capability.name: capability for capability in GRANTABLE}


@dataclass(frozen=True, slots=True)
class Rights:
    """What one run may do besides. `needs_landlock` has it not begin where the kernel has no Landlock.

    With `host_network` it is in the host's network, over which it has no rights, in place of one of its own.

    >>> Rights(capabilities=("SYS_ADMIN",))
    Traceback (most recent call last):
    ...
    ValueError: cannot give a run the capability SYS_ADMIN: there are AUDIT_WRITE, CHOWN, DAC_OVERRIDE, FOWNER, \
FSETID, KILL, MKNOD, NET_BIND_SERVICE, SETFCAP, SETGID, SETPCAP, SETUID, SYS_CHROOT
    """

    profile: str = "strict"
    capabilities: tuple[str, ...] = ()
    needs_landlock: bool = False
    host_network: bool = False

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ValueError(f"cannot give a run the profile {self.profile!r}: there are {', '.join(PROFILES)}")
        for name in self.capabilities:
            if name not in _BY_NAME:
                raise ValueError(f"cannot give a run the capability {name}: there are {', '.join(_BY_NAME)}")

    @property
    def kept(self) -> frozenset[Capability]:
        """The capabilities."""
        return frozenset(_BY_NAME[name] for name in self.capabilities)

    @property
    def are_usual(self) -> bool:
        """Whether a process made ready for any run will do."""
        return self.profile == USUAL_RIGHTS.profile and not self.capabilities and not self.host_network


USUAL_RIGHTS = Rights()
