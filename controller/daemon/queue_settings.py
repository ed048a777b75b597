"""The settings of the queue: what is kept back for the system, what jobs request that do not say, and who comes first.

Here: the keys, their checks, and what they make of `job.queue_rules.QueueRules`.
"""

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field

from api import quantity
from controller.daemon.host_shares import share
from controller.daemon.section import Section
from controller.job.queue_rules import QueueRules
from controller.job.requests import RequestDefaults


def _is_read_by(read: Callable[[str], int]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if read(text) < 0:
            raise ValueError("must not be negative")
        return text

    return check


def _is_part_read_by(read: Callable[[str], int]) -> Callable[[str], str]:
    def check(text: str) -> str:
        try:
            amount = share(text, 100, read)
        except ValueError as error:
            raise ValueError(f'{error}; or write a share of the host\'s such as "5%"') from None
        if amount is None or amount < 0:
            raise ValueError('must be an amount, or a share of the host\'s such as "5%"')
        return text

    return check


_Cpu = Annotated[str, AfterValidator(_is_read_by(quantity.to_millicpu))]
_Bytes = Annotated[str, AfterValidator(_is_read_by(quantity.to_bytes))]
_PartOfCpu = Annotated[str, AfterValidator(_is_part_read_by(quantity.to_millicpu))]
_PartOfBytes = Annotated[str, AfterValidator(_is_part_read_by(quantity.to_bytes))]


class QueueSettings(Section):
    """What runs may be promised, and in which order they begin when there is not enough for all."""

    reserved_cpu: _PartOfCpu = Field(
        default="0", description='Cores that no run is promised: "500m", or a share of the host\'s such as "5%".'
    )
    reserved_memory: _PartOfBytes = Field(
        default="5%", description="Memory that no run is promised: a size, or a share of the host's."
    )
    reserved_storage: _PartOfBytes = Field(
        default="10%", description="Space of the disk that no run is promised: a size, or a share of the disk."
    )
    request_cpu: _Cpu = Field(default="1m", description="What a job requests that says neither request nor limit.")
    request_memory: _Bytes = Field(default="16Mi", description="The same of memory.")
    request_storage: _Bytes = Field(default="16Mi", description="The same of the disk.")
    ageing_seconds: float = Field(
        default=3600,
        ge=0,
        description="Waiting that makes up for one step of priority; 0 is none: then the lowest may wait for ever.",
    )
    reserve_seconds: float = Field(
        default=600,
        ge=0,
        description="Room is kept for the first in the queue as long as runs are expected to end: those with a "
        "deadline, those younger than this, and those younger than half the time it has waited.",
    )
    preemption: bool = Field(
        default=False, description="True stops runs of a lower priority for jobs that cannot begin otherwise."
    )

    def rules(self) -> QueueRules:
        """Return it as the queue is kept by it."""
        defaults = RequestDefaults(
            quantity.to_millicpu(self.request_cpu),
            quantity.to_bytes(self.request_memory),
            quantity.to_bytes(self.request_storage),
        )
        return QueueRules(defaults, self.ageing_seconds, self.reserve_seconds, self.preemption)
