"""What comes of a content: all of it on the disk, in order, and in its digest, past the page cache where that can be."""

import hashlib
import mmap
import os
import queue
import resource
import tempfile
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.contents.taking_in import TakingIn

BLOCK = 4096


@pytest.fixture
def file(tmp_path):
    fd = os.open(tmp_path / "content", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def in_pages(content):
    """Return the content in memory that begins at a page."""
    memory = mmap.mmap(-1, max(len(content), 1))
    memory[: len(content)] = content
    return memoryview(memory)[: len(content)]


def is_cached(fd, at):
    try:
        os.preadv(fd, [bytearray(BLOCK)], at, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    return True


def nothing():
    pass


def test_whole_blocks_are_written_past_the_page_cache_and_the_rest_through_it(file):
    content = os.urandom(64 * BLOCK + 100)
    taking = TakingIn(file, 0)
    taking.write([in_pages(content[: 32 * BLOCK]), in_pages(content[32 * BLOCK : 64 * BLOCK])], nothing)
    taking.write([in_pages(content[64 * BLOCK :])], nothing)

    digest = taking.digest()
    taking.close()

    assert [is_cached(file, number * BLOCK) for number in (0, 31, 32, 63, 64)] == [False] * 4 + [True]
    assert (os.pread(file, 1 << 20, 0), digest) == (content, hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("is_in_memory", [True, False])
def test_what_no_disk_takes_past_the_page_cache_goes_through_it(is_in_memory, tmp_path):
    """Bytes are at no address of a page; and not every file system has another way."""
    content = os.urandom(1 << 20)
    with tempfile.TemporaryFile(dir="/dev/shm" if is_in_memory else tmp_path) as file:
        taking = TakingIn(file.fileno(), 0)
        taking.write([content], nothing)
        digest = taking.digest()
        taking.close()

        assert (os.pread(file.fileno(), 2 << 20, 0), digest) == (content, hashlib.sha256(content).hexdigest())


sizes = st.integers(0, 3 * BLOCK) | st.integers(0, 40).map(lambda blocks: blocks * BLOCK)
calls = st.lists(st.lists(st.tuples(sizes, st.booleans()), min_size=1, max_size=3), max_size=6)


@given(calls, sizes)
def test_pieces_of_all_sizes_come_in_order_into_the_file_and_its_digest(calls, have):
    content = hashlib.shake_256(b"x").digest(have + sum(size for call in calls for size, _ in call))
    with tempfile.TemporaryFile() as file:
        os.pwrite(file.fileno(), content[:have], 0)
        taking, at, done = TakingIn(file.fileno(), have), have, []
        for number, call in enumerate(calls):
            pieces = []
            for size, is_of_pages in call:
                piece = content[at : at + size]
                pieces.append(in_pages(piece) if is_of_pages else piece)
                at += size
            taking.write(pieces, lambda number=number: done.append(number))
        digest = taking.digest()
        taking.close()

        assert (taking.at, done) == (len(content), list(range(len(calls))))
        assert os.pread(file.fileno(), len(content) + 1, 0) == content
        assert digest == hashlib.sha256(content).hexdigest()


def test_pieces_may_be_changed_once_that_is_said(file):
    """Buffers are few, and filled again and again."""
    taking, free, whole = TakingIn(file, 0), [in_pages(bytes(64 * BLOCK)) for _ in range(2)], hashlib.sha256()
    lent = queue.SimpleQueue()
    for each in free:
        lent.put(each)
    for number in range(50):
        piece = lent.get(timeout=30)
        piece[:] = bytes([number]) * len(piece)
        whole.update(piece)
        taking.write([piece], lambda piece=piece: lent.put(piece))

    assert taking.digest() == whole.hexdigest()
    taking.close()


@pytest.fixture
def of_one_mebibyte():
    """Have the kernel refuse files over 1 MiB, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("of_one_mebibyte")
def test_what_the_disk_does_not_take_is_told_with_how_much_it_took(file):
    taking, done = TakingIn(file, 0), []

    with pytest.raises(OSError, match="File too large"):
        taking.write([in_pages(bytes(2 << 20))], lambda: done.append(1))
    taking.close()

    assert (taking.at, done) == (1 << 20, [])


def test_a_file_that_became_shorter_has_no_digest(file):
    os.pwrite(file, b"x" * 1000, 0)
    os.ftruncate(file, 10)
    taking = TakingIn(file, 1000)

    with pytest.raises(OSError, match="shorter"):
        taking.digest()
    taking.close()


def test_a_digest_of_less_than_there_is_is_never_given(file, monkeypatch):
    os.pwrite(file, b"x" * 1000, 0)
    taking = TakingIn(file, 1000)
    monkeypatch.setattr(os, "pread", lambda *_: (_ for _ in ()).throw(MemoryError))
    done = []
    taking.write([b"more"], lambda: done.append(1))

    with pytest.raises(MemoryError):
        taking.digest()
    assert done == [1]
    taking.close()


def test_what_is_there_is_read_when_the_digest_needs_it_and_not_before(file, monkeypatch):
    os.pwrite(file, b"x" * 1000, 0)
    read, real = [], os.pread
    monkeypatch.setattr(os, "pread", lambda *arguments: read.append(1) or real(*arguments))
    looked = TakingIn(file, 1000)
    looked.close()
    before = len(read)
    wanted = TakingIn(file, 1000)

    assert wanted.digest() == hashlib.sha256(b"x" * 1000).hexdigest()
    assert (before, len(read)) == (0, 1)
    wanted.close()


def test_who_has_closed_it_does_not_wait_for_what_is_there_to_be_read(file, monkeypatch):
    """Others may go on with the upload then."""
    os.ftruncate(file, 1 << 40)
    real, begun = os.pread, threading.Event()

    def reading(*arguments):
        begun.set()
        return real(*arguments)

    monkeypatch.setattr(os, "pread", reading)
    taking = TakingIn(file, 1 << 40)
    taking.write([b"more"], nothing)
    assert begun.wait(30)

    taking.close()  # Which would take a quarter of an hour.


def test_nothing_is_written_after_it_was_closed(file):
    """Its descriptors may be another file's by then."""
    taking = TakingIn(file, 0)
    taking.close()

    with pytest.raises(OSError, match="closed"):
        taking.write([b"late"], nothing)
    assert os.fstat(file).st_size == 0
