"""Parts of files on their way: exactly these bytes, whoever passes them on; and an answer that comes early is heard."""

import fcntl
import hashlib
import os
import socket
import threading
from http.client import HTTPException

import pytest

from api import client_parts
from api.client_parts import FilePart, Shorter

CONTENT = hashlib.shake_256(b"a file").digest(3_000_001)


@pytest.fixture
def fd(tmp_path):
    (tmp_path / "file").write_bytes(CONTENT)
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    yield fd
    os.close(fd)


@pytest.fixture
def ends():
    mine, other = socket.socketpair()
    for each in (mine, other):
        each.settimeout(30)
    mine.settimeout(None)
    with mine, other:
        yield mine, other


class Taking(threading.Thread):
    """Takes what is sent, all of it or so many bytes, then says something and closes."""

    def __init__(self, end, most=1 << 30, say=b""):
        super().__init__()
        self.end, self.most, self.say, self.taken = end, most, say, b""
        self.start()

    def run(self):
        while len(self.taken) < self.most and (piece := self.end.recv(min(1 << 16, self.most - len(self.taken)))):
            self.taken += piece
        if self.say:
            self.end.sendall(self.say)
        self.end.close()


@pytest.mark.parametrize("is_odd", [False, True])
def test_a_part_is_sent_whoever_passes_it_on_and_told_how_far_it_is(fd, ends, is_odd):
    shown = []
    mine, other = ends
    if is_odd:  # The kernel does not pass on to what is appended to: sendfile(2), EINVAL.
        fcntl.fcntl(mine, fcntl.F_SETFL, os.O_APPEND)
    taking = Taking(other)

    FilePart(fd, 1000, 2_500_000, shown.append).send(mine)
    mine.shutdown(socket.SHUT_WR)
    taking.join()

    assert taking.taken == CONTENT[1000:2_500_000]
    assert (shown, shown[0], shown[-1]) == (sorted(shown), 1000, 2_500_000)


def test_as_bytes_it_is_the_same(fd):
    assert b"".join(FilePart(fd, 1000, 2_500_000, int).pieces()) == CONTENT[1000:2_500_000]


def test_a_file_that_became_shorter_is_told_from_one_that_was_sent(fd, ends):
    taking = Taking(ends[1])
    part = FilePart(fd, 0, len(CONTENT) + 1, int)

    with pytest.raises(Shorter):
        part.send(ends[0])
    with pytest.raises(Shorter):
        list(part.pieces())
    ends[0].close()
    taking.join()


def test_an_answer_that_comes_before_all_was_sent_is_heard(fd, ends):
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"
    taking = Taking(ends[1], 100_000, refusal)

    answer = client_parts.put(ends[0], "/a", {"X": "y"}, FilePart(fd, 0, len(CONTENT), int))
    taking.join()

    assert answer == (413, b"big")
    assert taking.taken.startswith(b"PUT /a HTTP/1.1\r\nHost: runwright\r\nX: y\r\n\r\n" + CONTENT[:1000])


@pytest.mark.parametrize("say", [b"", b"nonsense\r\n\r\n"])
def test_a_connection_that_breaks_is_told_so(fd, ends, say):
    taking = Taking(ends[1], 100_000, say)

    with pytest.raises((ConnectionError, HTTPException)):
        client_parts.put(ends[0], "/a", {}, FilePart(fd, 0, len(CONTENT), int))
    taking.join()
    assert ends[0].fileno() == -1


def test_a_file_of_another_host_that_breaks_off_is_not_taken_for_the_connection(fd, ends, monkeypatch):
    def breaking(*_):
        raise ConnectionAbortedError

    monkeypatch.setattr(os, "sendfile", breaking)
    taking = Taking(ends[1])

    with pytest.raises(OSError, match="it cannot be read"):
        client_parts.put(ends[0], "/a", {}, FilePart(fd, 0, len(CONTENT), int))
    taking.join()
