"""Cron schedules where clocks are changed, against a look at every minute."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.cron import CronSchedule

_MINUTE = timedelta(minutes=1)
CHANGES = [
    ("Europe/Berlin", date(2026, 3, 28)), ("Europe/Berlin", date(2026, 10, 24)),
    ("America/New_York", date(2026, 3, 7)), ("America/New_York", date(2026, 10, 31)),
    ("Australia/Lord_Howe", date(2026, 4, 4)), ("Australia/Lord_Howe", date(2026, 10, 3)),
    ("America/Sao_Paulo", date(2018, 11, 3)), ("America/Sao_Paulo", date(2018, 2, 17)),
    ("Africa/Cairo", date(2025, 4, 24)), ("Africa/Cairo", date(2025, 10, 30)),
    ("Antarctica/Troll", date(2026, 3, 28)), ("Antarctica/Troll", date(2026, 10, 24)),
    ("America/Santiago", date(2026, 4, 4)), ("America/Santiago", date(2026, 9, 5)),
    ("Pacific/Apia", date(2011, 12, 29)), ("Asia/Kathmandu", date(2026, 3, 1)), ("Etc/UTC", date(2026, 3, 1)),
]  # fmt: skip
"""Zones, and days after which their clocks are changed: by an hour, half an hour, two, a day, at midnight, never."""


def a_field(low: int, high: int) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        st.sampled_from([2, 5, 7, 10, 15]).map(lambda step: f"*/{step}"),
        st.lists(numbers, min_size=1, max_size=3).map(lambda found: ",".join(map(str, found))),
        st.tuples(numbers, numbers).map(lambda ends: f"{min(ends)}-{max(ends)}"),
    )


SCHEDULES = st.tuples(
    a_field(0, 59),
    a_field(0, 23) | a_field(0, 4),
    st.just("*") | a_field(1, 31),
    st.just("*"),
    st.just("*") | a_field(0, 6),
).map(" ".join)


@pytest.mark.invariant("T2")
@settings(max_examples=120, deadline=None)
@given(SCHEDULES, st.sampled_from(CHANGES), st.integers(0, 23))
@example("* 21,14,23 * * *", ("Australia/Lord_Howe", date(2026, 4, 4)), 6)
@example("* * * * 0", ("America/Sao_Paulo", date(2018, 11, 3)), 20)
@example("30 2 * * *", ("Europe/Berlin", date(2026, 10, 24)), 12)
def test_what_comes_is_what_a_look_at_every_minute_finds(text, change, hour):
    name, day = change
    zone, begin = ZoneInfo(name), datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    end = begin + timedelta(days=3)
    schedule, found, moment = CronSchedule(text, zone), [], begin
    while (moment := schedule.next(moment)) and moment <= end:
        found.append(moment)

    assert found == by_looking(text, zone, begin, end)


def by_looking(text: str, zone: ZoneInfo, begin: datetime, end: datetime) -> list[datetime]:
    fields = CronSim(text, datetime(2000, 1, 1, tzinfo=UTC))

    def matches(shown: datetime) -> bool:
        is_time = shown.minute in fields.minutes and shown.hour in fields.hours
        return is_time and shown.month in fields.months and fields.match_day(shown.date())

    if any(field.startswith("*") for field in text.split()[:2]):
        every = (begin + _MINUTE * count for count in range(1, int((end - begin) / _MINUTE) + 1))
        return [moment for moment in every if matches(moment.astimezone(zone))]
    first = begin.astimezone(zone).replace(tzinfo=None) - timedelta(days=1)
    named = {
        first_shown(first + _MINUTE * count, zone) for count in range(6 * 1440) if matches(first + _MINUTE * count)
    }
    return sorted(moment for moment in named if begin < moment <= end)


def first_shown(shown: datetime, zone: ZoneInfo) -> datetime:
    while True:
        moment = shown.replace(tzinfo=zone).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == shown:
            return moment
        shown += _MINUTE
