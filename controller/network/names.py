"""What names of a network are answered with: DNS messages, read and written. Pure.

Of a message no more is read than its header and its one question. Source: RFC 1035, sections 4.1 and 4.2.
"""

import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

A, PTR, AAAA = 1, 12, 28
NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME, REFUSED = 0, 2, 3, 5
LONGEST_UDP_BYTES = 512
_INTERNET = 1
_HEADER = struct.Struct("!HHHHHH")
_RESPONSE, _RECURSION_WANTED, _RECURSION_THERE, _AUTHORITATIVE = 0x8000, 0x0100, 0x0080, 0x0400
_OPCODE = 0x7800
_TO_THE_QUESTION = 0xC00C
_LONGEST_NAME = 255
_TTL_SECONDS = 1
_MOST_ANSWERS = 20
_IPV6_POINTER = re.compile(r"(?:[0-9a-f]\.){32}ip6\.arpa")
Address = IPv4Address | IPv6Address


class NotAQuestion(ValueError):
    """It is no question that anybody could answer; nothing is."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question: `name` in lower case, without the last dot; `end` is where it ends in the message."""

    number: int
    flags: int
    name: str
    kind: int
    end: int


def read(message: bytes) -> Question:
    """Return the question of a message.

    Raises:
        NotAQuestion: there is none, or not one.
    """
    try:
        number, flags, questions, _, _, _ = _HEADER.unpack_from(message)
        if flags & (_RESPONSE | _OPCODE) or questions != 1:
            raise NotAQuestion("it is an answer, or not one question")
        labels, at, length = [], _HEADER.size, message[_HEADER.size]
        while length:
            if length > 63:
                raise NotAQuestion("a label of it is compressed")
            labels.append(message[at + 1 : at + 1 + length])
            at += 1 + length
            length = message[at]
        kind, class_ = struct.unpack_from("!HH", message, at + 1)
    except (IndexError, struct.error) as error:
        raise NotAQuestion("it is cut off") from error
    if class_ != _INTERNET or at - _HEADER.size > _LONGEST_NAME:
        raise NotAQuestion("it is of another class, or too long")
    return Question(number, flags, b".".join(labels).decode("latin-1").lower(), kind, at + 5)


def answer(message: bytes, question: Question, code: int, addresses: Iterable[Address] = (), name: str = "") -> bytes:
    """Return the answer to a question: addresses of the kind that was asked for, or a name for a PTR."""
    records = [_record(question.kind, each.packed) for each in addresses]
    if name:
        records.append(_record(PTR, b"".join(_label(part) for part in name.split(".")) + b"\0"))
    flags = _RESPONSE | _AUTHORITATIVE | _RECURSION_THERE | (question.flags & _RECURSION_WANTED) | code
    header = _HEADER.pack(question.number, flags, 1, len(records), 0, 0)
    return header + message[_HEADER.size : question.end] + b"".join(records)


def own_answer(message: bytes, question: Question, known: Mapping[str, tuple[Address, ...]]) -> bytes | None:
    """Return the answer if the question is about this network's own names or addresses; None if others may know.

    Names without a dot are nobody else's: those of other networks are not looked for outside.
    """
    found = known.get(question.name)
    if found is not None:
        version = {A: 4, AAAA: 6}.get(question.kind)
        return answer(message, question, NO_ERROR, [each for each in found if each.version == version][:_MOST_ANSWERS])
    if question.kind == PTR and (address := _of_pointer(question.name)) is not None:
        names = sorted(name for name, addresses in known.items() if address in addresses)
        if names:
            return answer(message, question, NO_ERROR, name=names[0])
        return answer(message, question, NO_SUCH_NAME) if address.is_private else None
    return answer(message, question, NO_SUCH_NAME) if "." not in question.name else None


def is_answer_to(reply: bytes, question: bytes) -> bool:
    """Whether a reply has the question's number, and the question itself."""
    if len(reply) < _HEADER.size or reply[:2] != question[:2] or not reply[2] & 0x80:
        return False
    end = read(question).end
    return reply[_HEADER.size : end].lower() == question[_HEADER.size : end].lower()


def renumbered(message: bytes, number: int) -> bytes:
    """Return the message with another number."""
    return struct.pack("!H", number) + message[2:]


def cut(message: bytes, question: Question) -> bytes:
    """Return an answer that fits into UDP: itself, or one that says to ask again by TCP."""
    if len(message) <= LONGEST_UDP_BYTES:
        return message
    flags = struct.unpack_from("!H", message, 2)[0] | 0x0200
    return _HEADER.pack(question.number, flags, 1, 0, 0, 0) + message[_HEADER.size : question.end]


def _record(kind: int, data: bytes) -> bytes:
    return struct.pack("!HHHIH", _TO_THE_QUESTION, kind, _INTERNET, _TTL_SECONDS, len(data)) + data


def _label(text: str) -> bytes:
    return bytes((len(text),)) + text.encode("latin-1")


def _of_pointer(name: str) -> Address | None:
    if _IPV6_POINTER.fullmatch(name):
        digits = "".join(reversed(name.removesuffix(".ip6.arpa").split(".")))
        return IPv6Address(int(digits, 16))
    if not name.endswith(".in-addr.arpa"):
        return None
    try:
        return IPv4Address(".".join(reversed(name.removesuffix(".in-addr.arpa").split("."))))
    except ValueError:
        return None
