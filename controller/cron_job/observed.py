"""What there is of a CronJob, as plain data: its jobs, and the newest of its times that is known to have had one."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.cron import CronSchedule


class Ended(StrEnum):
    """How a job has ended, if it has."""

    NOT = ""
    COMPLETE = "Complete"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Child:
    """A job that is the CronJob's own. `scheduled` is the time it was made for, None if a person made it.

    `made_ahead` is of which generation of the CronJob it was made before that time; empty if it was not, or has begun.
    """

    name: str
    uid: str
    created: datetime
    ended: Ended = Ended.NOT
    started: datetime | None = None
    completed: datetime | None = None
    scheduled: datetime | None = None
    is_manual: bool = False
    is_deleting: bool = False
    made_ahead: str = ""

    @property
    def is_active(self) -> bool:
        """Whether it has not ended, and was started by the CronJob; one that is being deleted may still run."""
        return self.ended is Ended.NOT and not self.is_manual

    def is_early(self, now: datetime) -> bool:
        """Whether it was made ahead of its time, which has not come: so nothing of it has begun."""
        return bool(self.made_ahead) and self.scheduled is not None and self.scheduled > now


@dataclass(frozen=True, slots=True)
class ObservedCronJob:
    """All that a plan is decided from, beside the CronJob itself.

    `schedule` is None if it cannot be followed, for `problem`, a reason and a message. `started` is the newest time
    that this process has started a job for. `make_from` is from when on the job of its next time is made ahead of it,
    `ahead` the time to come that one was made ahead for, there or not.
    """

    now: datetime
    schedule: CronSchedule | None
    children: tuple[Child, ...] = ()
    started: datetime | None = None
    problem: tuple[str, str] = ("", "")
    make_from: datetime | None = None
    ahead: datetime | None = None

    @property
    def active(self) -> tuple[Child, ...]:
        """The jobs of it that have not ended, and whose time has come."""
        return tuple(child for child in self.children if child.is_active and not child.is_early(self.now))

    @property
    def early(self) -> tuple[Child, ...]:
        """The jobs of it that were made ahead of a time that has not come."""
        return tuple(child for child in self.children if child.is_early(self.now))

    @property
    def scheduled(self) -> tuple[datetime, ...]:
        """The times that have come of which there is a job: also one that goes, as it may have begun."""
        return tuple(each.scheduled for each in self.children if each.scheduled and not each.is_early(self.now))
