from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import cron
from api.cron import CronSchedule, Due

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def shown(schedule: str, zone: str, after: str, count: int) -> list[str]:
    where = cron.zone(zone)
    moments = CronSchedule(schedule, where).coming(at(after), count)
    return [moment.astimezone(where).strftime("%d %H:%M%z") for moment in moments]


@pytest.mark.parametrize(
    ("schedule", "coming"),
    [
        ("30 2 * * *", ["02 02:30+0000", "03 02:30+0000"]), ("*/20 * * * *", ["01 12:20+0000", "01 12:40+0000"]),
        ("0 9 * * MON-FRI", ["02 09:00+0000", "05 09:00+0000"]), ("0 0 1 * ?", ["01 00:00+0000", "01 00:00+0000"]),
        ("@hourly", ["01 13:00+0000", "01 14:00+0000"]), ("@Daily", ["02 00:00+0000", "03 00:00+0000"]),
        ("0 0 * * 7", ["04 00:00+0000", "11 00:00+0000"]), ("0 0 L * *", ["31 00:00+0000", "28 00:00+0000"]),
        ("0 0 13 * 5", ["02 00:00+0000", "09 00:00+0000"]), ("5/30 12 * * *", ["01 12:05+0000", "01 12:35+0000"]),
    ],
)  # fmt: skip
def test_a_schedule_comes_when_its_fields_say(schedule, coming):
    assert shown(schedule, "Etc/UTC", "2026-01-01T12:00:00+00:00", 2) == coming


def test_what_is_due_now_comes_next_only_after_it():
    schedule = CronSchedule("0 12 * * *", UTC)

    assert schedule.next(at("2026-01-01T11:59:59.999999+00:00")) == at("2026-01-01T12:00:00+00:00")
    assert schedule.next(at("2026-01-01T12:00:00+00:00")) == at("2026-01-02T12:00:00+00:00")
    assert schedule.next(at("2026-01-01T12:00:00.000001+00:00")) == at("2026-01-02T12:00:00+00:00")


@pytest.mark.parametrize(
    ("schedule", "coming"),
    [
        ("30 2 * * *", ["29 03:00+0200", "30 02:30+0200"]),
        ("0,30 2 * * *", ["29 03:00+0200", "30 02:00+0200"]),
        ("0 3 * * *", ["29 03:00+0200", "30 03:00+0200"]),
        ("*/30 2 * * *", ["30 02:00+0200", "30 02:30+0200"]),
        ("*/30 * * * *", ["29 00:30+0100", "29 01:00+0100", "29 01:30+0100", "29 03:00+0200", "29 03:30+0200"]),
    ],
)
def test_in_spring_what_the_gap_swallows_comes_right_after_it_and_every_so_often_goes_on(schedule, coming):
    assert shown(schedule, "Europe/Berlin", "2026-03-29T00:10:00+01:00", len(coming)) == coming


@pytest.mark.parametrize(
    ("schedule", "coming"),
    [
        ("30 2 * * *", ["25 02:30+0200", "26 02:30+0100"]),
        ("0 3 * * *", ["25 03:00+0100", "26 03:00+0100"]),
        ("*/30 2 * * *", ["25 02:00+0200", "25 02:30+0200", "25 02:00+0100", "25 02:30+0100", "26 02:00+0100"]),
    ],
)
def test_in_autumn_what_is_shown_twice_comes_once_and_every_so_often_goes_on(schedule, coming):
    assert shown(schedule, "Europe/Berlin", "2026-10-25T00:10:00+02:00", len(coming)) == coming


def test_in_the_repeated_hour_what_came_in_the_first_does_not_come_again():
    assert shown("30 2 * * *", "Europe/Berlin", "2026-10-25T02:10:00+01:00", 1) == ["26 02:30+0100"]


def test_a_day_that_a_zone_skips_is_made_up_for_when_it_is_over():
    assert shown("30 2 30,31 12 *", "Pacific/Apia", "2011-12-29T12:00:00-10:00", 2) == [
        "31 00:00+1400",
        "31 02:30+1400",
    ]


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "* * * * * *", "61 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "a b c d e",
     "@every 5m", "@reboot", "@", "TZ=UTC * * * * *", "CRON_TZ=Europe/Berlin 0 * * * *", "5-1 * * * *", "*/0 * * * *",
     "0 0 31 2 *", "0 0 */31 * 1#5", "1,, * * * *", "9" * 5000 + " * * * *", "² * * * *", "* * * * L", "-1 * * * *"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused_with_how_to_write_one(text):
    with pytest.raises(ValueError, match="cannot (read|follow)"):
        cron.check(text)


@given(st.text(alphabet="0123456789*/,-?#LWMON@TZ= abc", max_size=25))
def test_any_text_is_a_schedule_or_refused_in_our_words(text):
    try:
        coming = CronSchedule(text, UTC).next(at("2026-01-01T00:00:00+00:00"))
    except ValueError as error:
        coming, said = None, str(error)
    else:
        said = "cannot be" if coming is None else "cannot "

    assert said.startswith("cannot ")
    assert coming is None or coming.second == 0


@pytest.mark.parametrize(
    "name", ["Local", "local", "", "Mars/Phobos", "../../etc/passwd", "/etc/localtime", "Europe", "UTC\0", "tzdata.zi"]
)
def test_what_is_no_zone_is_refused(name):
    with pytest.raises(ValueError, match="is no time zone of the tz database"):
        cron.zone(name)


def test_nothing_is_due_before_its_time():
    assert CronSchedule("0 12 * * *", UTC).due(at("2026-01-01T00:00+00:00"), at("2026-01-01T11:59:59+00:00")) is None


def test_the_newest_of_what_has_come_is_due_and_the_others_are_counted():
    schedule = CronSchedule("0 * * * *", BERLIN)

    due = schedule.due(at("2026-01-01T00:00+00:00"), at("2026-01-01T05:00+00:00"))

    assert due == Due(at("2026-01-01T05:00+00:00"), 4)


@pytest.mark.parametrize("schedule", ["* * * * *", "30 2 * * *", "0 0 1 1 *", "*/7 3-5 * * 1"])
def test_of_more_than_a_hundred_the_newest_is_found_without_looking_at_each(schedule):
    since, until = at("1900-01-01T00:00+00:00"), at("2026-10-25T01:40:17+00:00")
    due = CronSchedule(schedule, BERLIN).due(since, until)

    assert due.missed == 101
    assert due.moment <= until < CronSchedule(schedule, BERLIN).next(due.moment)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 200), st.sampled_from(["*/7 * * * *", "0 */5 * * *", "13 4 * * *", "0 9 1 * *"]))
def test_what_is_due_is_the_last_of_what_comes_one_by_one(hours, text):
    schedule, since = CronSchedule(text, BERLIN), at("2026-10-20T00:00+00:00")
    until = since + timedelta(hours=hours, minutes=hours % 7)
    coming, moment = [], since
    while (moment := schedule.next(moment)) <= until:
        coming.append(moment)

    due = schedule.due(since, until)

    assert due == (Due(coming[-1], min(len(coming) - 1, 101)) if coming else None)


def test_a_fixed_offset_is_a_zone_too():
    assert CronSchedule("0 0 * * *", timezone(timedelta(hours=5.5))).next(at("2026-01-01T00:00+00:00")) == at(
        "2026-01-01T18:30+00:00"
    )


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        ("61 * * * *", '"61" is no minute: there are 0 to 59: write minute, hour'),
        ("0 5,25 * * *", '"25" is no hour: there are 0 to 23'),
        ("0 0 0 * *", '"0" is no day of month: there are 1 to 31'),
        ("0 0 * foo *", '"foo" is no month: there are 1 to 12, or JAN to DEC'),
        ("0 0 * * 8", '"8" is no day of week: there are 0 to 7, 0 and 7 being Sunday'),
        ("*/0 * * * *", '"*/0" is no minute'),
        ("1,,2 * * * *", '"" is no minute'),
        ("0 0 31 2 *", "day 31 never comes in February"),
        ("0 0 31 4,6 *", "day 31 never comes in the months 4,6"),
        ("0 0 30 FEB *", "day 30 never comes in the months FEB"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_said_with_what_may_be_there(schedule, why):
    with pytest.raises(ValueError, match="^cannot read ") as refused:
        cron.check(schedule)

    assert f"as a schedule: {why}" in str(refused.value)
