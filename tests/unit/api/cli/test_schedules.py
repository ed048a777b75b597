import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cli import schedules
from api.cli.schedules import parse

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def seconds_of(text: str) -> float:
    return (parse(text, NOW, BERLIN).start - NOW).total_seconds()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1), ("30s", 30), ("5min", 300), ("10min", 600), ("1hour", 3600), ("2hour", 7200), ("1d", 86400),
        ("2h30m", 9000), ("1h 30m", 5400), ("1hour30min", 5400), ("1 day 2 hours 3 minutes 4 seconds", 93784),
        ("90m", 5400), ("365d", 31_536_000), ("8760h", 31_536_000), ("1d1s", 86401), (" 5m ", 300), ("0h5m", 300),
    ],
)  # fmt: skip
def test_a_length_of_time_counts_every_part_of_it(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("1.5h", "write how long from now"), ("1h-5m", "write how long from now"), ("abc5s", "write how long"),
        ("30m2h", "write how long"), ("5", "write how long"), ("", "write how long"), ("tomorrow", "write how long"),
        ("5ms", "write how long"), ("1h1h", "write how long"), ("٥m", "write how long"), ("5m\n2h x", "write how long"),
        ("0s", "leave --schedule out"), ("0h0m", "leave --schedule out"), ("366d", "name a shorter time"),
        ("365d1s", "name a shorter time"), ("999999999d", "name a shorter time"), ("2027-01-03", "write how long"),
        ("2027-01-03T00:00Z", "name an earlier time"), ("2026-13-01 00:00", "there is no such time"),
        ("2026-02-30 00:00", "there is no such time"), ("2026-05-01T24:00", "there is no such time"),
        ("2026-05-01T12:00+25:00", "there is no such time"), ("2026-05-01T12:00 CEST", "write how long"),
        ("0 2 * * *", "declare a CronJob"), ("@hourly", "declare a CronJob"), ("* * * *", "write how long"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_start_is_refused_with_the_fix(text, fix):
    with pytest.raises(ValueError, match=re.escape(fix)) as refused:
        parse(text, NOW, BERLIN)
    assert str(refused.value).startswith("cannot ")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z"), ("2026-07-01T12:00:00", "2026-07-01T10:00:00Z"),
        ("2026-07-01 12:00:00", "2026-07-01T10:00:00Z"), ("2026-07-01T12:00", "2026-07-01T10:00:00Z"),
        ("2026-12-01 12:00", "2026-12-01T11:00:00Z"), ("2026-07-01 12:00Z", "2026-07-01T12:00:00Z"),
        ("2026-07-01 12:00 UTC", "2026-07-01T12:00:00Z"), ("2026-07-01T12:00-05:30", "2026-07-01T17:30:00Z"),
        ("2026-07-01T12:00:00.000000001Z", "2026-07-01T12:00:00Z"), ("2026-07-01T12:00:00.5Z", "2026-07-01T12:00:01Z"),
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
    ],
)  # fmt: skip
def test_a_time_is_local_unless_it_has_a_zone(text, moment):
    assert parse(text, NOW, BERLIN).start_at == moment


def test_without_a_zone_given_it_is_this_machines(monkeypatch):
    local = datetime(2026, 7, 1, 12, 0).astimezone()

    assert parse("2026-07-01 12:00", NOW).start == local


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2026-03-29T02:30", "clocks skip it, as they are changed then: add the zone: +01:00 or +02:00"),
        ("2026-10-25 02:30", "clocks show it twice, as they are changed then: add the zone: +01:00 or +02:00"),
    ],
)
def test_a_time_that_clocks_skip_or_show_twice_wants_a_zone(text, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        parse(text, NOW, BERLIN)

    assert parse(f"{text}+02:00", NOW, BERLIN).start.hour == 0


def test_a_start_is_in_whole_seconds_and_never_early():
    now = NOW + timedelta(microseconds=1)

    assert parse("1s", now).start == NOW + timedelta(seconds=2)


@given(st.text(max_size=30) | st.from_regex(r"[0-9]{1,4}[dhms -:TZ]{1,3}[0-9]{0,4}[dhms]{0,2}", fullmatch=True))
def test_any_text_is_a_start_or_refused(text):
    try:
        start = parse(text, NOW, BERLIN).start
    except ValueError as error:
        assert str(error).startswith("cannot ")  # noqa: PT017 -- most texts are refused, and some are not.
    else:
        assert start.microsecond == 0


@given(*[st.integers(0, 80)] * 4)
def test_what_a_length_says_is_what_is_meant(days, hours, minutes, seconds):
    total = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if total:
        assert parse(f"{days}d{hours}h{minutes}m{seconds}s", NOW).start == NOW + total


def test_what_is_told_of_a_scheduled_job_is_when_it_starts():
    schedule = parse("2h30m", NOW)

    assert schedules.lines({"metadata": {"name": "etl"}}, schedule, "echo hi") == [
        "Job is scheduled:",
        "ID: etl",
        "Command: echo hi",
        "Schedule Input: 2h30m",
        "Scheduled Time: 2026-01-02T05:34:05Z (in 2h30m)",
    ]


def test_of_one_in_the_past_it_is_told_that_it_starts_at_once():
    schedule = parse("2020-01-01T00:00Z", NOW)

    assert schedules.lines({"metadata": {"name": "x"}}, schedule, "true")[-1].endswith(
        "(which is past: it starts at once)"
    )
