"""WebSocket frames that no client would send, into a run of a real daemon: no failure, no hang, nothing that grows or stays.

What RFC 6455 says of each is what the client is told: 1002 for frames that cannot be, 1007 for text that is none, 1009 for
too much. Seeds are fixed; the slow variant goes through many more.
"""

import contextlib
import os
import random
import re
import socket
import struct
import time
from pathlib import Path

import pytest

from support import host
from support.daemon import a_daemon

pytestmark = [pytest.mark.needs_root, pytest.mark.invariant("P4")]

SECONDS = 10
MIB = 1 << 20
MOST_BYTES = 4 * MIB
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
PROTOCOL_ERROR, NO_TEXT, TOO_BIG = 1002, 1007, 1009
STDIN, STDOUT, CLOSING = b"\x00", b"\x01", b"\xff"
HANDSHAKE = (
    "GET /api/v1/namespaces/default/pods/held-1/exec?command=cat&command=-u&stdin=true&stdout=true HTTP/1.1\r\n"
    "host: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nuser-agent: rnx/fuzz\r\n"
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: v5.channel.k8s.io\r\n\r\n"
)


@pytest.fixture(scope="module")
def daemon():
    before = host.snapshot()
    with a_daemon() as daemon:
        daemon.shell("held", "exec sleep 1000")
        daemon.running("held")
        yield daemon
        log = daemon.log.read_text()
    assert "Traceback" not in log, log[-3000:]
    assert "stream failed" not in log, log[-3000:]
    host.assert_as_before(before)


def frame(opcode, payload=b"", *, fin=True, reserved=0, mask=b"\x01\x02\x03\x04", length=None):
    """Return one frame as a client sends it; `length` is what it says of its length, in 64 bits, if that is not so."""
    size = len(payload)
    if length is not None:
        sized = struct.pack("!BQ", 127, length)
    elif size < 126:
        sized = bytes((size,))
    else:
        sized = struct.pack("!BH", 126, size) if size < 1 << 16 else struct.pack("!BQ", 127, size)
    masked = bytearray(sized)
    masked[0] |= 0x80 if mask else 0
    key = mask * (size // 4 + 1)
    body = bytes(one ^ other for one, other in zip(payload, key, strict=False)) if mask else payload
    return bytes((fin << 7 | reserved << 4 | opcode,)) + bytes(masked) + mask + body


def closing(code, reason=b""):
    return frame(CLOSE, struct.pack("!H", code) + reason)


class Raw:
    """A WebSocket to `cat` in a run, byte by byte."""

    def __init__(self, daemon):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(str(daemon.socket))
        self.socket.sendall(HANDSHAKE.encode())
        self.received = b""
        while b"\r\n\r\n" not in self.received:
            self.received += self.socket.recv(1 << 16)
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *frames):
        """Send it all, or what of it the server takes."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for each in frames:
                self.socket.sendall(each)

    def next(self):
        """Return the opcode and payload of the next frame; None at the end."""
        while True:
            found = re.match(rb"(?s)(.)([\x00-\x7d]|\x7e..|\x7f.{8})", self.received)
            if found is not None:
                sized = found[2]
                size = int.from_bytes(sized[1:] or sized, "big")
                if len(self.received) >= found.end() + size:
                    payload = self.received[found.end() : found.end() + size]
                    self.received = self.received[found.end() + size :]
                    return found[1][0] & 0x0F, payload
            try:
                came = self.socket.recv(1 << 16)
            except ConnectionResetError:
                return None
            if not came:
                return None
            self.received += came

    def code(self):
        """Read to the end; return the code that the server closes with, None if it says none."""
        code = None
        while (found := self.next()) is not None:
            opcode, payload = found
            if opcode == CLOSE:
                code = struct.unpack("!H", payload[:2])[0] if payload else None
        return code

    def echoed(self, size):
        """Return so many bytes of what `cat` says, and the payloads of pongs that came meanwhile."""
        said, pongs = b"", []
        while len(said) < size:
            opcode, payload = self.next()
            if opcode == PONG:
                pongs.append(payload)
            elif payload[:1] == STDOUT:
                said += payload[1:]
        return said, pongs


IMPOSSIBLE = {
    "a frame without a mask": (frame(BINARY, STDIN + b"x", mask=b""), PROTOCOL_ERROR),
    "a ping without a mask": (frame(PING, b"x", mask=b""), PROTOCOL_ERROR),
    "the first reserved bit": (frame(BINARY, STDIN + b"x", reserved=4), PROTOCOL_ERROR),
    "the second reserved bit": (frame(BINARY, STDIN + b"x", reserved=2), PROTOCOL_ERROR),
    "the third reserved bit": (frame(BINARY, STDIN + b"x", reserved=1), PROTOCOL_ERROR),
    "all reserved bits, on a ping": (frame(PING, b"x", reserved=7), PROTOCOL_ERROR),
    "a reserved kind of data": (frame(3, STDIN + b"x"), PROTOCOL_ERROR),
    "a reserved kind of control": (frame(11, b"x"), PROTOCOL_ERROR),
    "a long ping": (frame(PING, b"x" * 126), PROTOCOL_ERROR),
    "a ping in pieces": (frame(PING, b"x", fin=False), PROTOCOL_ERROR),
    "a close in pieces": (frame(CLOSE, b"\x03\xe8", fin=False), PROTOCOL_ERROR),
    "a long close": (closing(1000, b"x" * 124), PROTOCOL_ERROR),
    "the rest of nothing": (frame(CONTINUATION, b"x"), PROTOCOL_ERROR),
    "a beginning in the middle": (frame(BINARY, STDIN, fin=False) + frame(BINARY, STDIN), PROTOCOL_ERROR),
    "a length with its highest bit": (frame(BINARY, b"", length=1 << 63), PROTOCOL_ERROR),
    "a short length in many bytes": (frame(BINARY, STDIN + b"x", length=2), PROTOCOL_ERROR),
    "text that is none": (frame(TEXT, b"\x00\xff\xfe"), NO_TEXT),
    "text that ends within a character": (frame(TEXT, b"\x00\xe2\x82"), NO_TEXT),
    "a close of one byte": (frame(CLOSE, b"\x03"), PROTOCOL_ERROR),
    "a close whose reason is no text": (closing(1000, b"\xff\xfe"), NO_TEXT),
    "a message that is too big": (frame(BINARY, STDIN + bytes(MOST_BYTES + 1)), TOO_BIG),
    "a message that is too big in pieces": (
        frame(BINARY, STDIN, fin=False) + frame(CONTINUATION, bytes(MIB), fin=False) * 5, TOO_BIG,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_a_client_that_sends_what_cannot_be_is_told_so_and_let_go(daemon, what):
    sent, code = IMPOSSIBLE[what]
    with Raw(daemon) as raw:
        raw.send(sent)
        assert raw.code() == code


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535])
def test_a_code_that_nobody_may_close_with_is_a_mistake(daemon, code):
    with Raw(daemon) as raw:
        raw.send(closing(code))
        assert raw.code() == PROTOCOL_ERROR


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1008, 1009, 1011, 3000, 4999])
def test_a_close_is_answered_with_its_own_code(daemon, code):
    with Raw(daemon) as raw:
        raw.send(closing(code, b"bye"))
        assert raw.code() == code


def test_a_close_without_a_code_is_answered(daemon):
    with Raw(daemon) as raw:
        raw.send(frame(CLOSE))
        assert raw.code() is None


def test_what_comes_after_a_close_is_not_heard(daemon):
    with Raw(daemon) as raw:
        raw.send(closing(1000) + frame(BINARY, STDIN + b"late") + frame(PING, b"late"))
        assert raw.code() == 1000


def test_a_message_in_pieces_with_pings_between_them_is_one_message(daemon):
    text = os.urandom(3000)
    pieces = [frame(BINARY, STDIN, fin=False)]
    for at in range(0, len(text), 100):
        pieces += [
            frame(CONTINUATION, text[at : at + 100], fin=False),
            frame(PING, b"%d" % at),
            frame(PONG, b"never asked"),
        ]
    with Raw(daemon) as raw:
        raw.send(*pieces, frame(CONTINUATION))
        said, pongs = raw.echoed(len(text))

    assert said == text
    assert pongs == [b"%d" % at for at in range(0, len(text), 100)]


def test_the_largest_message_there_may_be_goes_through(daemon):
    with Raw(daemon) as raw:
        text = bytes(range(256)) * (1 << 12)
        raw.send(frame(BINARY, STDIN + text))
        assert raw.echoed(len(text))[0] == text


def test_empty_messages_and_empty_pieces_are_nothing(daemon):
    with Raw(daemon) as raw:
        raw.send(
            frame(BINARY), frame(TEXT), frame(BINARY, fin=False), frame(CONTINUATION, fin=False), frame(CONTINUATION)
        )
        raw.send(frame(BINARY, STDIN + b"said"))
        assert raw.echoed(4)[0] == b"said"


def resident_mb(daemon):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{daemon.pid}/status").read_text())[1]) / 1024


def test_pings_whose_answers_nobody_reads_are_held_up_and_not_kept(daemon):
    with Raw(daemon) as raw:
        before, sent, pings = resident_mb(daemon), 0, frame(PING, b"p" * 125) * 500
        raw.socket.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while sent < 100 * MIB:
                sent += raw.socket.send(pings)
        grown = resident_mb(daemon) - before

    assert sent < 100 * MIB
    assert grown < 10


class Mutator:
    """Makes sequences of frames that are almost right."""

    def __init__(self, seed):
        self._random = random.Random(seed)

    def frames(self):
        whole = b"".join(self._frame() for _ in range(self._random.randrange(1, 12)))
        return self._damaged(whole) if self._random.random() < 0.3 else whole

    def _frame(self):
        pick = self._random
        opcode = pick.choice((BINARY, BINARY, BINARY, TEXT, CONTINUATION, PING, PONG, CLOSE, pick.randrange(16)))
        size = pick.choice((0, 1, 2, 10, 125, 126, 1000, 70_000))
        payload = pick.choice((STDIN, STDIN, b"\x04", b"\x05", CLOSING + b"\0", b"")) + pick.randbytes(size)
        if opcode in (PING, PONG, CLOSE) and pick.random() < 0.8:
            payload = payload[:125]
        return frame(
            opcode, payload, fin=pick.random() < 0.8, reserved=pick.choice((0,) * 19 + (pick.randrange(8),)),
            mask=pick.randbytes(4) if pick.random() < 0.97 else b"",
            length=pick.choice((1 << 63, 1 << 40, 7)) if pick.random() < 0.02 else None,
        )  # fmt: skip

    def _damaged(self, whole):
        damaged = bytearray(whole)
        for _ in range(self._random.randrange(1, 4)):
            damaged[self._random.randrange(len(damaged))] = self._random.randrange(256)
        return bytes(damaged)


def fuzz(daemon, seed, count):
    """Open so many streams and send each a sequence; each ends when its sender says that nothing more comes."""
    mutator = Mutator(seed)
    for number in range(count):
        with Raw(daemon) as raw:
            sent = mutator.frames()
            raw.send(sent)
            with contextlib.suppress(OSError):
                raw.socket.shutdown(socket.SHUT_WR)
            try:
                raw.code()
            except TimeoutError:
                pytest.fail(f"seed {seed}, number {number}: the stream goes on after {sent[:300]!r}")


def executed():
    """Return the processes that streams executed and that are there still."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if each.read_bytes() == b"cat\0-u\0":
                found.append(each.parent.name)
    return found


def left_by(daemon, seed, count):
    """Return how many megabytes and descriptors the daemon has more after so many streams, once they have ended."""
    fuzz(daemon, seed + 1000, 10)
    daemon.until("earlier streams have ended", lambda: not executed())
    memory, descriptors = resident_mb(daemon), len(os.listdir(f"/proc/{daemon.pid}/fd"))
    fuzz(daemon, seed, count)
    daemon.until("what was executed has ended", lambda: not executed())
    assert daemon.client.transport.text("/livez") == "ok"
    return resident_mb(daemon) - memory, len(os.listdir(f"/proc/{daemon.pid}/fd")) - descriptors


def test_no_frames_make_the_daemon_fail_hang_grow_or_keep_what_was_executed(daemon):
    began = time.monotonic()
    memory, descriptors = left_by(daemon, 1, 40)

    assert (memory < 15, descriptors <= 4) == (True, True), (memory, descriptors)
    assert time.monotonic() - began < 60


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(10, 15))
def test_no_frames_of_very_many_make_the_daemon_fail_hang_grow_or_keep_what_was_executed(daemon, seed):
    memory, descriptors = left_by(daemon, seed, 400)

    assert (memory < 15, descriptors <= 4) == (True, True), (memory, descriptors)
