"""By which rules those that wait for room on the host are ordered, as settings say them."""

from dataclasses import dataclass, field

from controller.job.requests import RequestDefaults


@dataclass(frozen=True, slots=True)
class QueueRules:
    """How those that wait are ordered, and whether runs give way."""

    defaults: RequestDefaults = field(default_factory=RequestDefaults)
    ageing_seconds: float = 3600.0
    reserve_seconds: float = 600.0
    preemption: bool = False
