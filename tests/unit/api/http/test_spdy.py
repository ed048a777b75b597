"""Frames as Kubernetes' clients send them, in any pieces; and what is not understood."""

import zlib
from struct import Struct

import pytest

from api.http import spdy
from api.http.spdy import Data, Opened, Ping, Reader, Reset, Type, Writer
from support.tunnel import Compressor, control, data

SYN = Struct(">IIH")


def syn(compressor, stream, flags=0, **headers):
    return control(Type.SYN_STREAM, SYN.pack(stream, 0, 0) + compressor.block(headers), flags)


def test_the_dictionary_is_that_of_the_protocol():
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2  # As the head of every SPDY/3 stream of headers says.


@pytest.mark.parametrize("size", [1, 3, 7, 10_000])
def test_frames_are_read_in_any_pieces(size):
    compressor = Compressor()
    sent = b"".join(
        [
            syn(compressor, 1, streamType="error", port="80"),
            data(1, ended=True),
            control(Type.HEADERS, Struct(">I").pack(1) + compressor.block({"x": "y"})),
            syn(compressor, 3, flags=1, streamtype="data"),
            data(3, b"hello", ended=True),
            control(4, b"\0" * 12),
            control(9, b"\0" * 8),
            control(Type.PING, Struct(">I").pack(5)),
            control(Type.RST_STREAM, Struct(">II").pack(3, 5)),
        ]
    )
    reader = Reader()
    events = [event for at in range(0, len(sent), size) for event in reader.feed(sent[at : at + size])]
    told = [event for event in events if not (isinstance(event, Data) and event.stream == 3)]

    assert told == [
        Opened(1, {"streamtype": "error", "port": "80"}, ended=False),
        Data(1, b"", ended=True),
        Opened(3, {"streamtype": "data"}, ended=True),
        Ping(5),
        Reset(3),
    ]
    parts = [event for event in events if isinstance(event, Data) and event.stream == 3]
    assert b"".join(part.content for part in parts) == b"hello"
    assert [part.ended for part in parts] == [False] * (len(parts) - 1) + [True]


@pytest.mark.parametrize(
    "frame",
    [
        control(Type.SYN_STREAM, b"\0" * 4),
        control(Type.SYN_STREAM, SYN.pack(1, 0, 0) + b"no zlib"),
        control(Type.PING, b"\0"),
        control(Type.RST_STREAM, b"\0" * 5),
        control(Type.SYN_STREAM, b"")[:5] + b"\xff\xff\xff",
    ],
)
def test_what_is_not_understood_is_an_error(frame):
    with pytest.raises(spdy.ProtocolError):
        list(Reader().feed(frame))


@pytest.mark.parametrize("headers", [{"a": "x" * spdy.MOST_HEADER_BYTES}, {str(n): "" for n in range(5000)}])
def test_headers_that_grow_when_they_are_read_are_refused(headers):
    with pytest.raises(spdy.ProtocolError, match="too long"):
        list(Reader().feed(syn(Compressor(), 1, **headers)))


def test_headers_that_say_that_more_comes_than_does_are_refused():
    plain = Struct(">II").pack(1, 100) + b"port"
    compressor = zlib.compressobj(zdict=spdy.DICTIONARY)
    block = compressor.compress(plain) + compressor.flush(zlib.Z_SYNC_FLUSH)

    with pytest.raises(spdy.ProtocolError, match="cut short"):
        list(Reader().feed(control(Type.SYN_STREAM, SYN.pack(1, 0, 0) + block)))


def test_replies_are_compressed_as_one_stream():
    writer, reader = Writer(), zlib.decompressobj(zdict=spdy.DICTIONARY)

    for stream in (1, 3, 5):
        frame = writer.reply(stream)
        assert frame[8:12] == Struct(">I").pack(stream)
        assert reader.decompress(frame[12:]) == b"\0" * 4
