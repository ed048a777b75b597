"""The settings of the policy: what jobs may ask for on this host, and what they have to set.

Here: the keys, their checks, and what they make of `job.policy.Policy`. What it means for a job is judged there.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from api.types.job_security import CAPABILITIES
from controller.daemon.section import Section
from controller.daemon.volume_settings import is_path
from controller.job.policy import REQUIRABLE, Policy


def _is_requirable(name: str) -> str:
    if name not in REQUIRABLE:
        raise ValueError(f"{name} cannot be required: write any of {', '.join(REQUIRABLE)}")
    return name


def _is_capability(name: str) -> str:
    if name not in CAPABILITIES:
        raise ValueError(f"{name} cannot be given: write any of {', '.join(CAPABILITIES)}")
    return name


class PolicySettings(Section):
    """What jobs may ask for, and what they have to set. A job that the policy does not allow is refused, or waits."""

    minimum_profile: Literal["strict", "baseline"] = Field(
        default="strict",
        description="The least strict profile of system calls that any job may have: strict, or baseline, which "
        "allows what Docker's default profile does.",
    )
    baseline_namespaces: tuple[str, ...] = Field(
        default=(), description='Namespaces whose jobs may have the profile baseline nevertheless; "*" is all.'
    )
    capabilities: dict[str, tuple[Annotated[str, AfterValidator(_is_capability)], ...]] = Field(
        default={}, description='Capabilities that jobs may add, such as [NET_BIND_SERVICE], by namespace; "*" is all.'
    )
    required_limits: tuple[Annotated[str, AfterValidator(_is_requirable)], ...] = Field(
        default=(), description=f"Limits that each job must set itself: any of {', '.join(REQUIRABLE)}."
    )
    priority_classes: dict[str, tuple[str, ...]] = Field(
        default={"*": ("*",)},
        description='PriorityClasses that jobs may name, by namespace; "*" is all. Who comes first makes others wait, '
        "and give way where queue.preemption is true.",
    )
    require_landlock: bool = Field(
        default=False,
        description="True starts no job on a kernel without Landlock, which holds jobs to their files too.",
    )

    host_paths: dict[str, tuple[Annotated[str, AfterValidator(is_path)], ...]] = Field(
        default={},
        description='Directories of the host that volumes may be, with all below them, by namespace; "*" is all.',
    )

    host_files: dict[str, tuple[Annotated[str, AfterValidator(is_path)], ...]] = Field(
        default={},
        description="Directories of the host that jobs get copies of by files[].hostPath, with all below them, by "
        'namespace; "*" is all. They are read as root, whatever their modes: give no directory with secrets.',
    )

    host_network: tuple[str, ...] = Field(
        default=(),
        description='Namespaces whose jobs may be in the host\'s own network, by spec.network.name: host; "*" is all. '
        "They reach what listens on the host's loopback, and listen on its addresses.",
    )

    def policy(self) -> Policy:
        """Return it as jobs are judged by it."""
        return Policy(
            minimum_profile=self.minimum_profile,
            baseline_namespaces=frozenset(self.baseline_namespaces),
            capabilities={space: frozenset(names) for space, names in self.capabilities.items()},
            required_limits=self.required_limits,
            require_landlock=self.require_landlock,
            priority_classes={space: frozenset(names) for space, names in self.priority_classes.items()},
            host_files=self.host_files,
            host_network=frozenset(self.host_network),
        )
