"""A run's log: the CRI format, the very bytes, rotation, and a disk that is full."""

import errno
import os

import pytest

from controller.launcher import log_writer
from controller.launcher.log_writer import PARTIAL_AFTER_BYTES, READING, STDERR, STDOUT, LogWriter, in_order
from controller.linux import mount_api, ofd_lock
from controller.linux.mount_api import MountAttribute
from support.in_child import in_own_mounts
from support.launching import output_in

STAMP_NS = 1475712429_669794202
STAMP = "2016-10-06T00:07:09.669794202Z"


@pytest.fixture
def logged(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    yield lambda max_bytes=1 << 20, max_files=3: LogWriter(fd, max_bytes, max_files, lambda: STAMP_NS)
    os.close(fd)


def test_lines_have_stamp_stream_and_tag(logged, tmp_path):
    log = logged()
    log.write(STDOUT, b"out\n")
    log.write(STDERR, b"err\n")
    log.finish()

    assert (tmp_path / "0.log").read_text() == f"{STAMP} stdout F out\n{STAMP} stderr F err\n"


def test_a_line_that_comes_in_pieces_is_one_line(logged, tmp_path):
    log = logged()
    for piece in (b"he", b"llo", b"\nwor", b"ld\n"):
        log.write(STDOUT, piece)
    log.finish()

    assert (tmp_path / "0.log").read_text() == f"{STAMP} stdout F hello\n{STAMP} stdout F world\n"


def test_streams_do_not_mix_within_a_line(logged, tmp_path):
    log = logged()
    log.write(STDOUT, b"a")
    log.write(STDERR, b"b\n")
    log.write(STDOUT, b"c\n")
    log.finish()

    assert output_in(tmp_path) == "ac\n"
    assert output_in(tmp_path, "stderr") == "b\n"


def test_an_end_without_a_newline_is_partial(logged, tmp_path):
    log = logged()
    log.write(STDOUT, b"no newline")
    log.finish()

    assert (tmp_path / "0.log").read_text() == f"{STAMP} stdout P no newline\n"


def test_an_empty_line_is_a_line(logged, tmp_path):
    log = logged()
    log.write(STDOUT, b"\n\na\n")
    log.finish()

    assert output_in(tmp_path) == "\n\na\n"


@pytest.mark.parametrize("length", [PARTIAL_AFTER_BYTES, PARTIAL_AFTER_BYTES + 1, 3 * PARTIAL_AFTER_BYTES, 100_000])
@pytest.mark.parametrize("ending", [b"\n", b""])
def test_a_long_line_is_split_and_can_be_put_together(logged, tmp_path, length, ending):
    log = logged()
    text = b"x" * length + ending
    for start in range(0, len(text), 65536):
        log.write(STDOUT, text[start : start + 65536])
    log.finish()

    assert output_in(tmp_path).encode() == text
    lines = (tmp_path / "0.log").read_bytes().split(b"\n")
    assert max(map(len, lines)) <= PARTIAL_AFTER_BYTES + len(f"{STAMP} stdout F ")


def test_a_prompt_longer_than_a_part_does_not_wait_for_its_end(logged, tmp_path):
    log = logged()
    log.write(STDOUT, b"y" * (PARTIAL_AFTER_BYTES + 5))

    assert (tmp_path / "0.log").stat().st_size > PARTIAL_AFTER_BYTES


def test_bytes_that_are_no_text_are_kept(logged, tmp_path):
    log = logged()
    log.write(STDOUT, b"\xff\x00\r\xfe\n")
    log.finish()

    assert (tmp_path / "0.log").read_bytes().endswith(b" stdout F \xff\x00\r\xfe\n")


def test_a_full_file_gets_a_name_that_stays(logged, tmp_path):
    log = logged(max_bytes=100, max_files=10)
    for number in range(6):
        log.write(STDOUT, b"line %d\n" % number)
    log.finish()

    names = in_order(os.listdir(tmp_path))
    assert names == ["0.log.000001", "0.log.000002", "0.log"]
    assert output_in(tmp_path) == "".join(f"line {number}\n" for number in range(6))


def test_only_so_many_files_are_kept(logged, tmp_path):
    log = logged(max_bytes=60, max_files=3)
    for number in range(20):
        log.write(STDOUT, b"line %d\n" % number)
    log.finish()

    assert len(os.listdir(tmp_path)) == 3
    assert output_in(tmp_path) == "line 17\nline 18\nline 19\n"


def test_a_reader_that_holds_a_file_open_can_read_it_to_its_end(logged, tmp_path):
    log = logged(max_bytes=60, max_files=10)
    log.write(STDOUT, b"one\n")
    with open(tmp_path / "0.log") as held:
        log.write(STDOUT, b"two\n")
        log.write(STDOUT, b"three\n")
        assert [line.split(" ")[3] for line in held] == ["one\n"]
    log.finish()
    assert output_in(tmp_path) == "one\ntwo\nthree\n"


def in_a_small_disk(tmp_path, options, body):
    """Return what `body` returned, with `tmp_path` an empty file system of these options."""

    def mounted():
        with mount_api.new_filesystem("tmpfs", options, MountAttribute.NODEV) as disk:
            mount_api.attach(disk, tmp_path)
        return body(os.open(tmp_path, os.O_RDONLY))

    return in_own_mounts(mounted)


@pytest.mark.needs_root
def test_a_full_disk_costs_output_but_no_torn_line_and_is_noted(tmp_path):
    filler = tmp_path / "filler"

    def body(disk_fd):
        filler.write_bytes(b"x" * 12288)  # Three of four pages.
        log = LogWriter(disk_fd, 1 << 20, 3, lambda: STAMP_NS)
        log.write(STDOUT, b"before\n")
        for _ in range(3):
            log.write(STDOUT, b"y" * 9_999 + b"\n")
        filler.unlink()
        log.write(STDOUT, b"after\n")
        log.finish()
        return log.dropped_bytes, (tmp_path / "0.log").read_text()

    dropped, text = in_a_small_disk(tmp_path, {"size": "16k"}, body)

    assert dropped == 30_000
    assert text.split("\n") == [
        f"{STAMP} stdout F before",
        f"{STAMP} stderr F runwright: cannot log 30000 bytes of output here: {os.strerror(errno.ENOSPC)}",
        f"{STAMP} stdout F after",
        "",
    ]


@pytest.mark.needs_root
def test_a_disk_too_full_to_rotate_keeps_the_current_file(tmp_path):
    def body(disk_fd):
        log = LogWriter(disk_fd, 50, 3, lambda: STAMP_NS)
        log.write(STDOUT, b"kept\n")
        log.write(STDOUT, b"lost\n")
        log.finish()
        return log.dropped_bytes, os.listdir(disk_fd)

    assert in_a_small_disk(tmp_path, {"nr_inodes": "2"}, body) == (5, ["0.log"])


def reading(path):
    """Open a file as one does who reads a log."""
    fd = os.open(path, os.O_RDONLY)
    assert ofd_lock.take(fd, READING, shared=True)
    return fd


def write_files(log, count):
    for number in range(count):
        log.write(STDOUT, b"%04d " % number + b"x" * 900 + b"\n")


def names_in(directory):
    return in_order(os.listdir(directory))


def test_what_somebody_reads_stays_and_what_comes_after_it_until_it_was_read(logged, tmp_path):
    log = logged(max_bytes=1000, max_files=2)
    write_files(log, 1)
    fd = reading(tmp_path / "0.log")

    write_files(log, 8)
    assert len(names_in(tmp_path)) == 9
    os.close(fd)
    write_files(log, 1)

    assert len(names_in(tmp_path)) == 2
    log.finish()


def test_at_the_end_goes_what_is_too_much_and_read_by_nobody(logged, tmp_path):
    log = logged(max_bytes=1000, max_files=2)
    write_files(log, 1)
    fd = reading(tmp_path / "0.log")
    write_files(log, 5)
    os.close(fd)

    log.finish()

    assert len(names_in(tmp_path)) == 2


def test_who_reads_too_slowly_holds_so_much_and_no_more(logged, tmp_path, monkeypatch):
    monkeypatch.setattr(log_writer, "_HELD_BYTES", 5000)
    log = logged(max_bytes=1000, max_files=2)
    write_files(log, 1)
    fd = reading(tmp_path / "0.log")

    write_files(log, 30)

    assert len(names_in(tmp_path)) <= 7
    os.close(fd)
    log.finish()
