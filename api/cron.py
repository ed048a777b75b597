"""When a cron schedule is due, in a time zone: what `CronJob.spec.schedule` and `timeZone` mean.

Pure but for zone files. Fields are the five of crontab(5), read by cronsim, which also finds what clocks would show
next if nobody changed them. Where they are changed it is as Debian's cron has it: what names its minute and its hour
comes once, at the first moment after a gap that swallows it and at the first of two times of one name; what has a `*`
in front of either comes whenever it is shown. Invariant: `next` grows with what it is given, so nothing is due twice,
and what lies between two answers is never due.
"""

import calendar
import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

LONGEST = 200
MOST_COUNTED = 100
"""So many missed times are counted; of more it is only said that they are more, as Kubernetes does."""
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MINUTE = timedelta(minutes=1)
_LONGEST_REPEAT = timedelta(hours=4)
"""Clocks that were set back show no more than this again."""


@dataclass(frozen=True, slots=True)
class Due:
    """The newest time that has come, and how many came before it, `MOST_COUNTED` + 1 standing for more."""

    moment: datetime
    missed: int


def zone(name: str) -> ZoneInfo:
    """Return a time zone by its name in the tz database, such as Europe/Berlin. Raises ValueError."""
    try:
        if name.lower() != "local":
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    raise ValueError(f'"{name[:60]}" is no time zone of the tz database: write one such as Europe/Berlin, or Etc/UTC')


@functools.lru_cache(maxsize=4096)
def schedule(text: str, where: tzinfo) -> "CronSchedule":
    """Return the schedule that `text` means in a time zone. Raises ValueError."""
    return CronSchedule(text, where)


def check(text: str) -> None:
    """Check that `text` is a schedule. Raises ValueError: the message says how to write one."""
    schedule(text, UTC)


class CronSchedule:
    """A schedule in a time zone. All moments are UTC, in and out."""

    def __init__(self, text: str, where: tzinfo) -> None:
        """Read a schedule. Raises ValueError: it is none, or never comes; the message says how to write one."""
        self._fields = _fields(text)
        self._zone = where
        self._goes_by_clock = any(field.startswith("*") for field in self._fields.split()[:2])
        try:
            self._read = CronSim(self._fields, datetime(2000, 1, 1))  # noqa: DTZ001 -- read for its fields alone.
        except (CronSimError, ValueError):
            raise ValueError(f'cannot read "{text}" as a schedule: {_why_not(self._fields)}: {_HOW}') from None
        if self.next(datetime(2000, 1, 1, tzinfo=UTC)) is None:
            raise ValueError(f'cannot follow the schedule "{text}": {_never(self._fields)}: {_HOW}')

    def next(self, after: datetime) -> datetime | None:
        """Return the first time after `after`; None if none comes for some decades."""
        return self._next_shown(after) if self._goes_by_clock else self._next_named(after)

    def _next_named(self, after: datetime) -> datetime | None:
        for shown in CronSim(self._fields, self._shown(after)):
            found = self._first(shown)
            if found > after:
                return found
        return None

    def _first(self, shown: datetime) -> datetime:
        """Return when clocks first show this, or the first moment after the gap that it is in."""
        while not (moments := self._moments(shown)):
            shown += _MINUTE
        return moments[0]

    def _next_shown(self, after: datetime) -> datetime | None:
        soon = after + _LONGEST_REPEAT
        if self._offset(after) != self._offset(soon):
            moment = after.replace(second=0, microsecond=0) + _MINUTE
            while moment <= soon:
                if self._matches(self._shown(moment)):
                    return moment
                moment += _MINUTE
            after = soon
        for shown in CronSim(self._fields, self._shown(after)):
            for found in self._moments(shown):
                if found > after:
                    return found
        return None

    def _matches(self, shown: datetime) -> bool:
        read = self._read
        by_time = shown.minute in read.minutes and shown.hour in read.hours
        return by_time and shown.month in read.months and read.match_day(shown.date())

    def _shown(self, moment: datetime) -> datetime:
        return moment.astimezone(self._zone).replace(tzinfo=None, fold=0)

    def _offset(self, moment: datetime) -> timedelta | None:
        return moment.astimezone(self._zone).utcoffset()

    def _moments(self, shown: datetime) -> list[datetime]:
        """Return when clocks show this: once, twice, or never."""
        both = {shown.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
        return sorted(moment for moment in both if self._shown(moment) == shown)

    def coming(self, after: datetime, count: int) -> list[datetime]:
        """Return the next times."""
        return list(itertools.islice(self._from(after), count))

    def due(self, after: datetime, until: datetime) -> Due | None:
        """Return the newest time after `after` that is not after `until`; None if there is none."""
        first = list(itertools.islice(self._between(after, until), MOST_COUNTED + 2))
        if not first:
            return None
        if len(first) <= MOST_COUNTED + 1:
            return Due(first[-1], len(first) - 1)
        return Due(self._newest(first[-1], until), MOST_COUNTED + 1)

    def _newest(self, known: datetime, until: datetime) -> datetime:
        """Return the newest time until `until`, `known` being one; by halving, as `next` never goes back."""
        low, high = known, until
        while high - low >= _MINUTE:
            middle = low + (high - low) / 2
            found = self.next(middle)
            if found is None or found > until:
                high = middle
            else:
                low = found
        return low

    def _from(self, after: datetime) -> Iterator[datetime]:
        found = self.next(after)
        while found is not None:
            yield found
            found = self.next(found)

    def _between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        return itertools.takewhile(lambda moment: moment <= until, self._from(after))


_HOW = 'write minute, hour, day of month, month and day of week, such as "30 2 * * 1-5", or @daily'


_PARTS = (
    ("minute", "0 to 59"), ("hour", "0 to 23"), ("day of month", "1 to 31, and L for the last"),
    ("month", "1 to 12, or JAN to DEC"), ("day of week", "0 to 7, 0 and 7 being Sunday, or SUN to SAT"),
)  # fmt: skip


def _why_not(fields: str) -> str:
    """Say which of five fields cannot be read, and what may be there; or that their day never comes."""
    for place, field in enumerate(fields.split()):
        name, there_are = _PARTS[place]
        for term in field.split(","):
            if not _is_read(" ".join(term if each == place else "*" for each in range(len(_PARTS)))):
                return f'"{term}" is no {name}: there are {there_are}'
    return _never(fields)


def _is_read(fields: str) -> bool:
    try:
        CronSim(fields, datetime(2000, 1, 1))  # noqa: DTZ001 -- read for its fields alone.
    except (CronSimError, ValueError):
        return False
    return True


def _never(fields: str) -> str:
    _, _, day, month, _ = fields.split()
    named = calendar.month_name[int(month)] if month.isdecimal() else f"the months {month}"
    return f"day {day} never comes in {named}"


def _fields(text: str) -> str:
    if "TZ=" in text.upper():
        raise ValueError(f'cannot read "{text[:60]}" as a schedule: it names a zone: put that into timeZone')
    if text.lstrip().startswith("@"):
        known = _MACROS.get(text.strip().lower())
        if known is None:
            raise ValueError(f'cannot read "{text[:60]}" as a schedule: there are {", ".join(_MACROS)}')
        return known
    if len(text) > LONGEST or len(text.split()) != 5:
        raise ValueError(f'cannot read "{text[:60]}" as a schedule: it is not five fields: {_HOW}')
    return " ".join("*" if field == "?" else field for field in text.split())
