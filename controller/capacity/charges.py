"""What a job counts for in the quotas of its namespace: how much, and by what a quota may choose it. Data only.

Source: Kubernetes, core/v1 ResourceQuotaScope; of jobs it is said what Kubernetes says of their pods.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Nature:
    """What scopes of quotas ask of a job; `class_name` is the PriorityClass that it names, empty if it names none."""

    terminating: bool = False
    """Whether it has a deadline."""
    best_effort: bool = False
    """Whether it neither requests nor limits processor time or memory."""
    class_name: str = ""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a job counts for while it is not over, by the names that quotas have, and what it is."""

    amounts: Mapping[str, int] = field(default_factory=dict)
    nature: Nature = Nature()
