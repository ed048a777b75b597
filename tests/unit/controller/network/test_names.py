"""What names are answered with."""

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.network import names

KNOWN = {"db": (ip_address("10.0.0.2"), ip_address("fd00::2")), "queue": (ip_address("10.0.0.3"),)}


def question(name: str, kind: int = names.A, number: int = 7) -> bytes:
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split(".")) + b"\0"
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!HH", kind, 1)


def answered(name: str, kind: int = names.A) -> bytes | None:
    message = question(name, kind)
    return names.own_answer(message, names.read(message), KNOWN)


def code(answer: bytes | None) -> int:
    assert answer is not None
    return answer[3] & 0xF


def test_a_name_of_the_network_has_its_addresses_of_the_version_asked_for():
    four, six = answered("DB"), answered("db", names.AAAA)

    assert four is not None
    assert four.endswith(b"\0\4\x0a\0\0\2")
    assert six is not None
    assert six.endswith(ip_address("fd00::2").packed)
    assert four[:2] == b"\0\7"
    assert four[6:8] == b"\0\1"


def test_a_name_without_an_address_of_that_version_exists_nevertheless():
    answer = answered("queue", names.AAAA)

    assert code(answer) == names.NO_ERROR
    assert answer is not None
    assert answer[6:8] == b"\0\0"


def test_names_without_a_dot_are_nobody_elses():
    assert code(answered("dbb")) == names.NO_SUCH_NAME
    assert answered("example.com") is None


def test_an_address_of_the_network_has_its_name_and_private_ones_are_asked_of_nobody():
    found = answered("2.0.0.10.in-addr.arpa", names.PTR)

    assert found is not None
    assert found.endswith(b"\2db\0")
    assert code(answered("9.9.9.10.in-addr.arpa", names.PTR)) == names.NO_SUCH_NAME
    assert answered("8.8.8.8.in-addr.arpa", names.PTR) is None


@pytest.mark.parametrize(
    "digits", ["f" * 31 + "-", "0" * 31 + "+", "0" * 30 + "x0", "1_" * 16, "f" * 31, "f" * 33, "0" * 31 + "\xb2"]
)
def test_what_is_nearly_an_address_is_a_name_like_others(digits):
    message = question("x", names.PTR)
    labels = b"".join(b"\1" + digit.encode("latin-1") for digit in digits) + b"\3ip6\4arpa\0"
    message = message[:12] + labels + message[-4:]

    assert names.own_answer(message, names.read(message), KNOWN) is None


def test_an_address_of_ipv6_has_its_name_too():
    found = answered(ip_address("fd00::2").reverse_pointer.upper(), names.PTR)

    assert found is not None
    assert found.endswith(b"\2db\0")
    assert code(answered(ip_address("fd00::9").reverse_pointer, names.PTR)) == names.NO_SUCH_NAME


def test_an_answer_too_long_for_udp_says_to_ask_by_tcp():
    message = question("db")
    cut = names.cut(names.answer(message, names.read(message), 0, KNOWN["db"] * 20), names.read(message))

    assert len(cut) < 512
    assert cut[2] & 0x02


def test_a_reply_to_another_question_is_none():
    asked = question("example.com")
    reply = names.answer(asked, names.read(asked), names.NO_ERROR)

    assert names.is_answer_to(reply, asked)
    assert not names.is_answer_to(names.renumbered(reply, 9), asked)
    assert not names.is_answer_to(reply, question("example.org"))
    assert not names.is_answer_to(asked, asked)


@given(st.binary(max_size=600))
def test_whatever_is_sent_is_a_question_or_none(message):
    try:
        found = names.read(message)
    except names.NotAQuestion:
        return
    assert len(found.name) <= 255
    assert found.end <= len(message)


LABELS = st.lists(st.one_of(st.sampled_from((b"-", b"f", b"0", b"_")), st.binary(min_size=1, max_size=63)), max_size=34)
ENDS = st.sampled_from(((), (b"ip6", b"arpa"), (b"in-addr", b"arpa"), (b"db",)))


@given(LABELS, ENDS, st.sampled_from((names.A, names.AAAA, names.PTR, 255)))
def test_whatever_is_asked_for_has_an_answer_or_is_asked_of_others(labels, end, kind):
    packed = b"".join(bytes((len(part),)) + part for part in (*labels, *end)) + b"\0"
    message = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + packed + struct.pack("!HH", kind, 1)
    try:
        asked = names.read(message)
    except names.NotAQuestion:
        return
    found = names.own_answer(message, asked, KNOWN)
    assert found is None or names.is_answer_to(found, message)


@given(st.binary(min_size=12, max_size=80))
def test_whatever_follows_a_head_is_read_or_refused(rest):
    message = struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + rest
    try:
        found = names.read(message)
    except names.NotAQuestion:
        return
    names.own_answer(message, found, KNOWN)
    assert found.number == 1
