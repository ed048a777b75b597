"""Going on with a log after the place of a record, over rotations and removals."""

import os
import threading

import pytest

from api.errors import BadRequest, Expired, NotFound
from api.ports import LogOptions
from controller.job.log_files import LogFiles
from controller.job.log_places import Place, PlacedLogFiles
from controller.job.logs import JobLogs, log_directory
from controller.launcher.log_writer import LogWriter
from support.hand_clock import HandClock

JOB = {"metadata": {"namespace": "default", "name": "etl", "uid": "u"}}


@pytest.fixture
def directory(tmp_path):
    made = log_directory(tmp_path, JOB["metadata"]) / "1"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def writer(directory):
    """The supervisor's own writer, with files of 200 bytes, four of them kept."""
    fd = os.open(directory, os.O_RDONLY)
    yield LogWriter(fd, 200, 4, lambda: 0)
    os.close(fd)


@pytest.fixture
def logs(tmp_path):
    return JobLogs(tmp_path, HandClock(), lambda _job, _attempt: True, lambda _job: 5)


def write(writer, *numbered):
    for number in numbered:
        writer.write(b"stdout", b"%d\n" % number)


def never():
    return False


def read(logs, after="", **options):
    return [record for record in logs.records(JOB, 1, LogOptions(**options), after, never) if record]


def numbers(records):
    return [int(record.text) for record in records]


@pytest.mark.invariant("J21")
def test_who_goes_on_after_any_record_has_all_later_ones_once(logs, writer):
    write(writer, *range(14))
    everything = read(logs)
    assert numbers(everything) == list(range(14))
    for count, record in enumerate(everything, start=1):
        assert read(logs, record.place) == everything[count:]
    writer.finish()


@pytest.mark.invariant("J21")
def test_a_place_stays_the_same_whatever_is_rotated_or_removed_later(logs, writer):
    write(writer, *range(5))
    place = read(logs)[-1].place
    write(writer, *range(5, 14))
    assert numbers(read(logs, place)) == list(range(5, 14))
    write(writer, *range(14, 60))
    left = numbers(read(logs))
    assert left[0] > 5, "the file of the place is removed by now"
    assert numbers(read(logs, place)) == left
    writer.finish()


@pytest.mark.invariant("J21")
def test_readers_that_are_cut_off_and_go_on_while_it_is_written_and_rotated_miss_nothing(tmp_path, directory):
    fd = os.open(directory, os.O_RDONLY)
    writer = LogWriter(fd, 200, 1000, lambda: 0)
    is_over = threading.Event()
    logs = JobLogs(tmp_path, HandClock(), lambda _job, _attempt: is_over.is_set(), lambda _job: 1000)

    def write_all():
        write(writer, *range(300))
        writer.finish()
        is_over.set()

    thread = threading.Thread(target=write_all)
    thread.start()
    found, place = [], ""
    while not is_over.is_set() or not found or found[-1] != 299:
        records = logs.records(JOB, 1, LogOptions(follow=True), place, never)
        for _ in range(7):
            record = next(records, None)
            if record is not None:
                found.append(int(record.text))
                place = record.place
        records.close()
    thread.join()
    os.close(fd)
    assert found == list(range(300))


def test_a_line_in_parts_can_be_gone_on_with_after_each_part(logs, directory):
    fd = os.open(directory, os.O_RDONLY)
    writer = LogWriter(fd, 1 << 20, 2, lambda: 0)
    writer.write(b"stdout", b"x" * 40_000 + b"\nlast\n")
    records = read(logs)
    assert [(len(record.text), record.whole) for record in records] == [
        (16384, False), (16384, False), (7232, True), (4, True),
    ]  # fmt: skip
    assert read(logs, records[1].place) == records[2:]
    writer.finish()
    os.close(fd)


def test_a_stream_a_tail_and_a_time_choose_and_a_place_wins_over_a_tail(logs, writer):
    write(writer, 1)
    writer.write(b"stderr", b"2\n")
    write(writer, 3)
    assert numbers(read(logs, stream="stdout")) == [1, 3]
    assert numbers(read(logs, tail_lines=1)) == [3]
    assert numbers(read(logs, read(logs)[0].place, tail_lines=1)) == [2, 3]
    assert read(logs, since_time="2030-01-01T00:00:00Z") == []
    writer.finish()


@pytest.mark.parametrize("place", ["x", "1", "1.-1", "1.2.3", "٣.1", "9" * 30 + ".1"])
def test_what_is_no_place_is_refused(logs, writer, place):
    with pytest.raises(BadRequest, match="is no place in a log: leave Last-Event-ID out"):
        read(logs, place)


@pytest.mark.parametrize("place", ["1.7", "1.100000", "0.0"])
def test_a_place_that_no_record_ends_at_begins_with_its_file(logs, writer, place):
    write(writer, 1, 2)
    assert numbers(read(logs, place)) == [1, 2]
    writer.finish()


def test_a_run_without_a_log_is_not_found(tmp_path):
    logs = JobLogs(tmp_path, HandClock(), lambda _job, _attempt: True, lambda _job: 5)
    with pytest.raises(NotFound, match='no log of pods "etl-1"'):
        read(logs)


def test_places_sort_as_the_log_goes():
    assert Place.read("2.0") > Place.read("1.9999") > Place.read("1.30")


def test_a_log_that_is_removed_while_it_is_read_ends(directory, writer):
    write(writer, 1)
    with PlacedLogFiles(directory, None) as files:
        assert [line.content for line in files.fresh_placed()] == [b"1"]
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
        assert list(files.fresh_placed()) == []


@pytest.mark.parametrize("way", ["text", "records"])
def test_a_log_that_is_removed_before_it_is_followed_is_not_found(logs, directory, way):
    options = LogOptions(follow=True)
    begun = logs.read(JOB, 1, options, never) if way == "text" else logs.records(JOB, 1, options, "", never)
    directory.rmdir()

    with pytest.raises(NotFound, match="etl-1"):
        next(begun)


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00Z", "0999-12-31T23:59:59Z", "1970-01-01T00:00:00.5+01:00"])
def test_a_log_since_a_time_long_ago_is_all_of_it(logs, writer, since):
    write(writer, 1)

    assert b"".join(logs.read(JOB, 1, LogOptions(since_time=since), never)) == b"1\n"
    writer.finish()


def test_much_that_is_written_while_a_log_is_followed_comes_in_pieces(tmp_path, directory):
    logs = JobLogs(tmp_path, HandClock(), lambda _job, _attempt: False, lambda _job: 5)
    line = b"x" * 1023 + b"\n"
    followed = logs.read(JOB, 1, LogOptions(follow=True), never)
    assert next(followed) == b""

    (directory / "0.log").write_bytes((b"T stdout F " + line) * 4096)
    pieces = []
    while sum(map(len, pieces)) < 4096 * len(line):
        pieces.append(next(followed))

    assert b"".join(pieces) == line * 4096
    assert max(map(len, pieces)) <= 128 << 10


@pytest.mark.parametrize("follow", [False, True])
def test_a_log_that_is_to_be_whole_is_refused_when_some_of_it_is_gone(logs, writer, follow):
    options = LogOptions(follow=follow, whole=True)
    write(writer, *range(10))
    assert b"".join(logs.read(JOB, 1, options, never)) == b"".join(b"%d\n" % number for number in range(10))
    write(writer, *range(100))
    writer.finish()

    with pytest.raises(Expired, match="written faster than it was read"):
        list(logs.read(JOB, 1, options, never))
    assert list(logs.read(JOB, 1, LogOptions(follow=follow), never))


@pytest.mark.invariant("J6")
@pytest.mark.parametrize("way", ["read", "followed", "records"])
def test_what_stayed_of_a_log_while_it_was_read_goes_afterwards_unless_another_reads_it(directory, way):
    over = threading.Event()
    logs = JobLogs(directory.parents[1], HandClock(), lambda _job, _attempt: over.is_set(), lambda _job: 2)
    fd = os.open(directory, os.O_RDONLY)
    writer = LogWriter(fd, 100, 2, lambda: 0)
    write(writer, *range(12))
    options = LogOptions(follow=way != "read")
    with LogFiles(directory) as other:
        assert [line.content for line in other.fresh()][-1] == b"11"
        write(writer, *range(12, 40))
        writer.finish()
        os.close(fd)
        begun = logs.records(JOB, 1, options, "", never) if way == "records" else logs.read(JOB, 1, options, never)
        over.set()
        assert len(list(begun)) >= 1
        assert len(list(directory.iterdir())) > 2

    list(logs.read(JOB, 1, LogOptions(), never))

    assert len(list(directory.iterdir())) == 2
    assert (directory / "0.log").exists()
