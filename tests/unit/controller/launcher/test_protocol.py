"""Messages to bytes and back, in whatever pieces they arrive."""

import json
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.launcher.protocol import MAX_MESSAGE_BYTES, Decoder, ProtocolError, encode

MESSAGES = st.lists(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=20)), max_size=5)


@given(MESSAGES, st.integers(1, 64))
def test_messages_survive_being_cut_anywhere(messages, piece):
    stream = b"".join(map(encode, messages))
    decoder = Decoder()

    read = [message for at in range(0, len(stream), piece) for message in decoder.feed(stream[at : at + piece])]

    assert read == messages


def framed(body):
    return pack(">I", len(body)) + body


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_object_is_refused(body):
    with pytest.raises(ProtocolError, match="cannot read a message"):
        list(Decoder().feed(framed(body)))


def test_a_message_too_long_is_refused_before_it_is_read():
    with pytest.raises(ProtocolError, match="at most"):
        list(Decoder().feed(pack(">I", MAX_MESSAGE_BYTES + 1)))


def test_a_message_too_long_is_not_sent():
    with pytest.raises(ProtocolError, match="at most"):
        encode({"text": "x" * MAX_MESSAGE_BYTES})


def test_half_a_message_is_no_message():
    whole = framed(json.dumps({"op": "ping"}).encode())

    assert list(Decoder().feed(whole[:-1])) == []
