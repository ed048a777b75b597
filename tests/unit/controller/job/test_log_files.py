import os
import threading

import pytest

from controller.job.log_files import Line, LogFiles, parse
from controller.launcher.log_writer import LogWriter

STAMP = b"2026-01-02T03:04:05.000000000Z"


@pytest.fixture
def directory(tmp_path):
    return tmp_path


@pytest.fixture
def writer(directory):
    """The supervisor's own writer, with files of 200 bytes, four of them kept."""
    fd = os.open(directory, os.O_RDONLY)
    yield LogWriter(fd, 200, 4, lambda: 0)
    os.close(fd)


def numbers(lines):
    return [int(line.content) for line in lines]


def write(writer, *numbered):
    for number in numbered:
        writer.write(b"stdout", b"%d\n" % number)


def test_a_record_is_read_and_a_torn_one_is_not():
    assert parse(STAMP + b" stderr P a  b") == Line(STAMP, b"stderr", False, b"a  b")
    assert parse(STAMP + b" stdout F ").content == b""
    assert parse(STAMP + b" stdo") is None
    assert parse(b"") is None


def test_what_is_there_is_read_oldest_first_over_all_files(directory, writer):
    write(writer, *range(12))

    with LogFiles(directory) as files:
        assert numbers(files.fresh()) == list(range(12))
        assert numbers(files.fresh()) == []
    writer.finish()


def test_what_comes_is_read_on_over_rotations_even_when_inode_numbers_are_used_again(directory, writer):
    """A removed file's inode number goes to a new file at once on most file systems."""
    read = []
    with LogFiles(directory) as files:
        for number in range(200):
            write(writer, number)
            read += numbers(files.fresh())
    writer.finish()

    assert read == list(range(200))


def test_what_was_removed_before_it_was_read_is_left_out_and_the_order_stays(directory, writer):
    with LogFiles(directory) as files:
        write(writer, 0)
        assert numbers(files.fresh()) == [0]
        write(writer, *range(1, 100))
        after = numbers(files.fresh())
    writer.finish()

    assert after == sorted(after)
    assert after[-1] == 99
    assert after[0] == 1  # The file that was open is read to its end though it is removed by now.


def test_a_reader_beside_a_writer_that_rotates_all_the_time_sees_everything_in_order(directory, writer):
    fd = os.open(directory, os.O_RDONLY)
    patient = LogWriter(fd, 200, 2000, lambda: 0)
    thread = threading.Thread(target=write, args=(patient, *range(1500)))
    read = []
    with LogFiles(directory) as files:
        thread.start()
        while thread.is_alive():
            read += numbers(files.fresh())
        read += numbers(files.fresh())
    os.close(fd)

    assert read == list(range(1500))


def test_a_reader_waits_until_something_is_written(directory, writer):
    with LogFiles(directory) as files:
        files.watch()
        later = threading.Timer(0.05, write, (writer, 1))
        later.start()
        files.wait(10)
        later.join()
        assert numbers(files.fresh()) == [1]
    writer.finish()


def test_a_log_that_is_removed_while_it_is_read_is_read_to_its_end(directory, writer):
    write(writer, 1)
    with LogFiles(directory) as files:
        assert numbers(files.fresh()) == [1]
        write(writer, 2)
        (directory / "0.log").rename(directory.with_name(f"{directory.name}.elsewhere"))
        directory.rmdir()
        assert numbers(files.fresh()) == [2]
        assert numbers(files.fresh()) == []
        directory.mkdir()
    writer.finish()


def test_reading_leaves_no_descriptor_open(directory, writer):
    write(writer, *range(50))
    before = len(os.listdir("/proc/self/fd"))

    with LogFiles(directory) as files:
        files.watch()
        assert numbers(files.fresh())

    assert len(os.listdir("/proc/self/fd")) == before
    writer.finish()
