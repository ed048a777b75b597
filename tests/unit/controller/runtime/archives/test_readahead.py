"""A source that is read in a thread of its own."""

import io
import os
import threading

import pytest

from controller.runtime.archives.readahead import ReadAhead


class Gated:
    """A source that counts how often it is read, and may wait or break."""

    def __init__(self, content: bytes, *, breaks_after: int | None = None) -> None:
        self._file = io.BytesIO(content)
        self._breaks_after = breaks_after
        self.reads = 0
        self.was_read = threading.Event()

    def read(self, size: int = -1, /) -> bytes:
        self.reads += 1
        self.was_read.set()
        if self._breaks_after is not None and self.reads > self._breaks_after:
            raise ConnectionError("torn")
        return self._file.read(size)


@pytest.mark.parametrize("size", [1, 7, 100, 4096])
def test_what_is_read_is_what_is_there_in_pieces_of_any_size(size: int):
    content = os.urandom(3000)
    source = ReadAhead(io.BytesIO(content), 100)

    pieces = list(iter(lambda: source.read(size), b""))

    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= size
    assert (source.read(10), source.read(10)) == (b"", b"")
    source.close()


def test_what_the_source_raises_comes_after_what_it_gave_and_stays():
    source = ReadAhead(Gated(b"x" * 30, breaks_after=3), 10)

    assert b"".join(source.read(10) for _ in range(3)) == b"x" * 30
    for _ in range(2):
        with pytest.raises(ConnectionError, match="torn"):
            source.read(10)
    source.close()


def test_after_closing_nobody_reads_the_source():
    gated = Gated(b"x" * (1 << 20))
    source = ReadAhead(gated, 10)
    assert gated.was_read.wait(10)

    source.close()

    reads = gated.reads
    assert 0 < reads < 1000
    assert "read-ahead" not in {thread.name for thread in threading.enumerate()}
    assert gated.reads == reads


def test_reading_all_at_once_is_refused():
    source = ReadAhead(io.BytesIO(b""), 10)
    with pytest.raises(ValueError, match="say how much"):
        source.read()
    source.close()
