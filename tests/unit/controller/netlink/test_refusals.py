"""What the kernel tells of refused packets, read, and heard."""

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.netlink import refusals
from controller.netlink.refusals import Told
from support.networked import Netns

PREFIX, PAYLOAD = 10, 9


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def message(payload: bytes, kind: int = 0x400) -> bytes:
    body = struct.pack("!BBH", 1, 0, 7) + attribute(PREFIX, b"rwb1\0") + attribute(PAYLOAD, payload)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def packet(source: str, destination: str, protocol: int, after: bytes, fragment: int = 0) -> bytes:
    ends = ip_address(source).packed + ip_address(destination).packed
    if len(ends) == 32:
        return struct.pack("!IHBB", 6 << 28, len(after), protocol, 64) + ends + after
    return struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, fragment, 64, protocol, 0) + ends + after


PORTS = struct.pack("!HH", 40000, 443)


@pytest.mark.parametrize(
    ("given_packet", "meant"),
    [
        (packet("10.0.0.2", "192.0.2.1", 6, PORTS), ("10.0.0.2", "192.0.2.1", "tcp", 443)),
        (packet("fd00::2", "2001:db8::1", 17, PORTS), ("fd00::2", "2001:db8::1", "udp", 443)),
        (packet("10.0.0.2", "192.0.2.1", 1, b"\x08\0\0\0"), ("10.0.0.2", "192.0.2.1", "icmp", 0)),
        (packet("10.0.0.2", "192.0.2.1", 17, PORTS, fragment=5), ("10.0.0.2", "192.0.2.1", "udp", 0)),
        (packet("10.0.0.2", "192.0.2.1", 99, b""), ("10.0.0.2", "192.0.2.1", "99", 0)),
    ],
)
def test_a_packet_says_from_whom_it_is_and_where_to(given_packet, meant):
    source, destination, protocol, port = meant

    assert list(refusals.read(message(given_packet))) == [
        Told("rwb1", ip_address(source), ip_address(destination), protocol, port)
    ]


def test_what_is_cut_off_or_something_else_is_left_out():
    whole = packet("10.0.0.2", "192.0.2.1", 6, PORTS)

    assert list(refusals.read(message(whole[:20]) + message(whole, kind=3) + message(whole))) == list(
        refusals.read(message(whole))
    )


@given(st.binary(max_size=200))
def test_no_bytes_do_any_harm(noise):
    assert len(list(refusals.read(message(noise) + noise))) <= 2


@pytest.mark.needs_root
@pytest.mark.invariant("N8")
def test_what_a_rule_refuses_is_heard_and_a_group_that_somebody_has_is_not_taken():
    own = Netns()
    try:
        heard = own.json(HEAR)
    finally:
        own.close()

    assert heard == {"groups": [65535, 1], "heard": ["rwb1", "127.0.0.1", "udp", 9]}


HEAR = """
import json, queue, socket
from controller.netlink.nft import Table
from controller.netlink.refusals import RefusalLog
from controller.netlink.words import Chain, Count, Hook, Limit, Log, Reject
came = queue.Queue()
logs = [RefusalLog(65535, lambda told: [came.put(each) for each in told]) for _ in range(2)]
for log in logs: log.start()
Table("x").replace((Chain("no", ((Limit(20, 40), Log(1, "rwb1")), (Count(), Reject())), hook=Hook.OUTPUT),))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    try: s.sendto(b"x", ("127.0.0.1", 9))
    except PermissionError: pass
told = came.get(timeout=30)
for log in logs: log.stop()
print(json.dumps({"groups": [log.group for log in logs], "heard": [told.text, str(told.source), told.protocol, told.port]}))
"""
