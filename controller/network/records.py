"""What an answer of others says a name leads to: its addresses, and those of what it is an alias of, and for how long.

Pure. No byte of an answer is trusted: one that cannot be read to its end leads nowhere. Source: RFC 1035, 3.2 and 4.1.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from controller.network.names import AAAA, A, Address, NotAQuestion, read

LONGEST_SECONDS = 3600
"""How long what a name leads to is let through at the most; nobody is told that it is known for longer."""
SHORTEST_SECONDS = 10
"""And at the least: who is told something that holds for no time at all is to get there nevertheless."""
MOST_ADDRESSES = 64
_CNAME = 5
_INTERNET = 1
_HEADER_BYTES = 12
_POINTER, _MOST_LABELS = 0xC0, 128
_BYTES = {A: 4, AAAA: 16}


@dataclass(frozen=True, slots=True)
class Led:
    """One address that a name leads to, for so many seconds."""

    address: Address
    seconds: int


@dataclass(frozen=True, slots=True)
class _Record:
    owner: str
    kind: int
    seconds: int
    seconds_at: int
    data: bytes
    alias: str = ""


def led(reply: bytes, question: bytes) -> tuple[Led, ...]:
    """Return what a reply to `question` says its name leads to; nothing if it cannot be read.

    Raises:
        NotAQuestion: `question` is none.
    """
    asked = read(question)
    try:
        records = tuple(_records(reply, asked.end))
    except (IndexError, struct.error, ValueError):
        return ()
    names = {asked.name: LONGEST_SECONDS}
    for _ in records:  # Aliases may stand in any order; each turn finds one more of them, or nothing.
        for each in records:
            if each.kind == _CNAME and each.owner in names and each.alias not in names:
                names[each.alias] = min(names[each.owner], each.seconds)
    found = [
        Led(ip_address(each.data), max(SHORTEST_SECONDS, min(names[each.owner], each.seconds)))
        for each in records
        if each.owner in names and len(each.data) == _BYTES.get(each.kind)
    ]
    return tuple(found[:MOST_ADDRESSES])


def shortened(reply: bytes, question: bytes) -> bytes:
    """Return the reply with nothing in it that is said to hold for longer than it is let through.

    Raises:
        NotAQuestion: `question` is none.
    """
    made = bytearray(reply)
    try:
        for each in _records(reply, read(question).end):
            if each.seconds > LONGEST_SECONDS:
                struct.pack_into("!I", made, each.seconds_at, LONGEST_SECONDS)
    except NotAQuestion:
        raise
    except (IndexError, struct.error, ValueError):
        return reply
    return bytes(made)


def _records(reply: bytes, at: int) -> Iterator[_Record]:
    """Yield the records of the first section after the one question, which ends at `at`."""
    for _ in range(struct.unpack_from("!H", reply, 6)[0]):
        owner, at = _name(reply, at)
        kind, class_, seconds, length = struct.unpack_from("!HHIH", reply, at)
        data = reply[at + 10 : at + 10 + length]
        if len(data) < length:
            raise ValueError("it is cut off")
        if class_ == _INTERNET:
            alias = _name(reply, at + 10)[0] if kind == _CNAME else ""
            # The highest bit is for times that nobody means. Source: RFC 2181, section 8.
            yield _Record(owner, kind, seconds if seconds < 1 << 31 else 0, at + 4, data, alias)
        at += 10 + length


def _name(reply: bytes, at: int) -> tuple[str, int]:
    """Return the name that stands there, in lower case, and where what follows it begins."""
    labels: list[bytes] = []
    end = 0
    for _ in range(_MOST_LABELS):
        length = reply[at]
        if length & _POINTER == _POINTER:
            end = end or at + 2
            target = struct.unpack_from("!H", reply, at)[0] & 0x3FFF
            if not _HEADER_BYTES <= target < at:
                raise ValueError("a name of it points forward")
            at = target
        elif length & _POINTER:
            raise ValueError("a label of it is of no known kind")
        elif length == 0:
            return b".".join(labels).decode("latin-1").lower(), end or at + 1
        else:
            labels.append(reply[at + 1 : at + 1 + length])
            at += 1 + length
    raise ValueError("a name of it has no end")
