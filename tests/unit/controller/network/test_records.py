"""What an answer says a name leads to."""

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.network import names, records
from controller.network.records import LONGEST_SECONDS, SHORTEST_SECONDS, Led

CNAME = 5


def labels(name: str) -> bytes:
    return b"".join(bytes((len(part),)) + part.encode() for part in name.split(".")) + b"\0"


def question(name: str = "a.example", kind: int = names.A) -> bytes:
    return struct.pack("!HHHHHH", 5, 0x0100, 1, 0, 0, 0) + labels(name) + struct.pack("!HH", kind, 1)


def record(owner: bytes, kind: int, seconds: int, data: bytes) -> bytes:
    return owner + struct.pack("!HHIH", kind, 1, seconds, len(data)) + data


def address(owner: bytes, text: str, seconds: int = 60) -> bytes:
    packed = ip_address(text).packed
    return record(owner, names.A if len(packed) == 4 else names.AAAA, seconds, packed)


def reply(*several: bytes, to: bytes = b"") -> bytes:
    asked = to or question()
    return asked[:2] + struct.pack("!HHHHH", 0x8180, 1, len(several), 0, 0) + asked[12:] + b"".join(several)


ASKED = b"\xc0\x0c"


def test_the_addresses_of_the_name_are_what_it_leads_to_for_as_long_as_is_said():
    told = reply(address(ASKED, "192.0.2.1"), address(labels("A.Example"), "2001:db8::1", 90))

    assert records.led(told, question()) == (Led(ip_address("192.0.2.1"), 60), Led(ip_address("2001:db8::1"), 90))


def test_an_alias_leads_on_in_whatever_order_and_for_no_longer_than_it_holds_itself():
    told = reply(
        address(labels("c.example"), "192.0.2.3", 300),
        record(labels("b.example"), CNAME, 200, labels("c.example")),
        record(ASKED, CNAME, 100, labels("b.example")),
    )

    assert records.led(told, question()) == (Led(ip_address("192.0.2.3"), 100),)


def test_what_is_told_of_other_names_leads_nowhere():
    told = reply(
        address(labels("other.example"), "192.0.2.9"), record(labels("x.example"), CNAME, 9, labels("a.example"))
    )

    assert records.led(told, question()) == ()


@pytest.mark.parametrize(
    ("said", "meant"), [(0, SHORTEST_SECONDS), (1 << 30, LONGEST_SECONDS), (0xFFFFFFFF, SHORTEST_SECONDS)]
)
def test_nothing_is_let_through_for_no_time_or_for_ever(said, meant):
    told = reply(address(ASKED, "192.0.2.1", said))

    assert records.led(told, question())[0].seconds == meant
    assert records.led(records.shortened(told, question()), question())[0].seconds == meant


def test_nobody_is_told_that_it_holds_longer_than_it_does():
    told = records.shortened(reply(address(ASKED, "192.0.2.1", 999_999)), question())

    assert struct.unpack_from("!I", told, len(question()) + 6)[0] == LONGEST_SECONDS


@pytest.mark.parametrize(
    "broken",
    [
        reply(address(ASKED, "192.0.2.1"))[:-1],
        reply(address(b"\xc0\xff", "192.0.2.1")),
        reply(address(b"\x80x", "192.0.2.1")),
        reply(record(ASKED, CNAME, 9, b"\xc0\x80")),
        reply(record(ASKED, names.A, 9, b"\1\2\3")),
        reply()[:6] + b"\xff\xff" + reply()[8:],
    ],
)
def test_an_answer_that_cannot_be_read_leads_nowhere(broken):
    assert records.led(broken, question()) == ()
    assert len(records.shortened(broken, question())) == len(broken)


@given(st.binary(max_size=300))
def test_no_bytes_do_any_harm(noise):
    told = reply()[:6] + b"\0\x09" + reply()[8:] + noise

    assert len(records.led(told, question())) <= records.MOST_ADDRESSES
    assert len(records.shortened(told, question())) == len(told)
