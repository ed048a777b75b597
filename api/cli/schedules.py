"""When a job is to start, as people write it after `--schedule`: `2h30m`, `2026-12-31 23:59`; and what is said of it.

Pure: it is given the time and the zone. Invariant: every word of it counts; what cannot be read whole is refused, with
how to write it, and so is a moment that the clocks of the zone never show, or show twice.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from api.meta import Document, read_rfc3339, wire_time

LONGEST = timedelta(days=365)
_HOW = "write how long from now, such as 30s, 5min, 2h30m or 1d, or a time, such as 2026-12-31T23:59"
_RELATIVE = re.compile(
    r"(?:(?P<days>\d{1,9}) *(?:days?|d))?"
    r"(?: *(?P<hours>\d{1,9}) *(?:hours?|hrs?|h))?"
    r"(?: *(?P<minutes>\d{1,9}) *(?:minutes?|mins?|m))?"
    r"(?: *(?P<seconds>\d{1,9}) *(?:seconds?|secs?|s))?",
    re.ASCII,
)
_ABSOLUTE = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[Tt ](?P<time>\d\d:\d\d)(?P<seconds>:\d\d(?:\.\d{1,9})?)?"
    r" ?(?P<zone>[Zz]|UTC|[+-]\d\d:\d\d)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A start: as it was written, the moment that is meant, in whole seconds and never earlier, and how far it was."""

    text: str
    start: datetime
    left: timedelta

    @property
    def start_at(self) -> str:
        """The moment as a Job has it."""
        return wire_time(self.start)


def parse(text: str, now: datetime, zone: tzinfo | None = None) -> Schedule:
    """Return the start that `text` means; a time without a zone is one of `zone`, None being this machine's.

    >>> parse("1h30m", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)).start_at
    '2026-01-02T04:34:05Z'

    Raises:
        ValueError: it cannot be read, or is too soon or too far away; the message says how to write one.
    """
    plain = text.strip()
    if plain and (lengths := _RELATIVE.fullmatch(plain)):
        length = _length(text, lengths)
        return Schedule(text, _whole(now + length), length)
    if _is_recurring(plain):
        raise ValueError(f'cannot start one job at "{text}", which is many times: declare a CronJob with this schedule')
    if not (said := _ABSOLUTE.fullmatch(plain)):
        raise ValueError(f'cannot read "{text}" as a start: {_HOW}')
    start = _moment(text, said, zone)
    if start > now + LONGEST:
        raise ValueError(f'cannot start at "{text}": that is over 365 days away: name an earlier time')
    return Schedule(text, _whole(start), start - now)


def _is_recurring(text: str) -> bool:
    """Whether it is a schedule as cron has them, such as `0 2 * * *`."""
    from api import cron

    try:
        cron.check(text)
    except ValueError:
        return False
    return True


def _length(text: str, lengths: re.Match[str]) -> timedelta:
    try:
        length = timedelta(**{unit: int(count) for unit, count in lengths.groupdict().items() if count})
    except OverflowError:
        length = timedelta.max
    if length < timedelta(seconds=1):
        raise ValueError(f'cannot start in "{text}": it is less than a second: leave --schedule out to start now')
    if length > LONGEST:
        raise ValueError(f'cannot start in "{text}": that is over 365 days: name a shorter time')
    return length


def _moment(text: str, said: re.Match[str], zone: tzinfo | None) -> datetime:
    seconds = said["seconds"] or ":00"
    offset = {"utc": "Z", "": "Z"}.get((said["zone"] or "").lower(), said["zone"])
    try:
        meant = read_rfc3339(f"{said['date']}T{said['time']}{seconds}{offset}")
    except ValueError:
        raise ValueError(f'cannot start at "{text}": there is no such time: {_HOW}') from None
    return meant if said["zone"] else _local(text, meant.replace(tzinfo=None), zone)


def _local(text: str, shown: datetime, zone: tzinfo | None) -> datetime:
    """Return when clocks of the zone show this."""
    local = [_placed(shown.replace(fold=fold), zone) for fold in (0, 1)]
    first, second = (moment.astimezone(UTC) for moment in local)
    if first == second:
        return first
    both = " or ".join(sorted(moment.isoformat()[-6:] for moment in local))
    what = "clocks show it twice" if first < second else "clocks skip it"
    raise ValueError(f'cannot start at "{text}": {what}, as they are changed then: add the zone: {both}')


def _placed(shown: datetime, zone: tzinfo | None) -> datetime:
    return shown.astimezone() if zone is None else shown.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)


def _whole(moment: datetime) -> datetime:
    """Round up: a job never starts before its time."""
    return moment if moment.microsecond == 0 else moment.replace(microsecond=0) + timedelta(seconds=1)


def lines(job: Document, schedule: Schedule, command: str) -> list[str]:
    """Return what is told of a job that was scheduled, in the documents' words."""
    when = f"in {_left(schedule.left)}" if schedule.left > timedelta(0) else "which is past: it starts at once"
    return [
        "Job is scheduled:",
        f"ID: {job['metadata']['name']}",
        f"Command: {command}",
        f"Schedule Input: {schedule.text}",
        f"Scheduled Time: {schedule.start_at} ({when})",
    ]


def _left(left: timedelta) -> str:
    total = -(-left // timedelta(seconds=1))
    parts = ((total // 86400, "d"), (total // 3600 % 24, "h"), (total // 60 % 60, "m"), (total % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"
