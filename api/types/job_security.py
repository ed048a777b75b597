"""What a job asks for beyond what every job may: a wider profile of system calls, capabilities.

Field names are Pod's where it has one. Here: the fields and which values there are. Never here: who may ask for them,
which the host's policy says, and what they mean to the kernel.
"""

from enum import StrEnum

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from api.model import ApiModel

CAPABILITIES = (
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
)
"""Those that a job may ask for. Source: what the Pod Security Standards allow a "baseline" pod to add."""
ALL = "ALL"
_PREFIX = "CAP_"


class SecurityProfile(StrEnum):
    """Which system calls a job may make; ordered from the least to the most."""

    STRICT = "strict"
    BASELINE = "baseline"


class Capabilities(ApiModel):
    """Capabilities, by the names that Pods use: without CAP_."""

    add: tuple[str, ...] = Field(
        default=(),
        description="Capabilities in the run's own user namespace, such as NET_BIND_SERVICE, where the host's policy "
        "allows them; there are none unless they are asked for.",
    )
    drop: tuple[str, ...] = Field(
        default=(), description="For manifests that are Pods' as well: whatever is not added is dropped anyway."
    )

    @field_validator("add")
    @classmethod
    def _are_there(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in CAPABILITIES:
                hint = f": write {name.removeprefix(_PREFIX)}" if name.startswith(_PREFIX) else ""
                why = f'Unsupported value: "{name:.40}"{hint}: supported values: {", ".join(CAPABILITIES)}'
                raise PydanticCustomError("FieldValueNotSupported", "{why}", {"why": why})
        return names


class SecurityContext(ApiModel):
    """What the job's process may do besides."""

    capabilities: Capabilities = Field(default_factory=Capabilities, description="Capabilities to add.")

    @property
    def added(self) -> tuple[str, ...]:
        """The capabilities, each once, sorted."""
        return tuple(sorted(set(self.capabilities.add)))
